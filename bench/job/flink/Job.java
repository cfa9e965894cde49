import java.util.Arrays;
import java.util.List;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/** Runs SQL statements in this process, each to its end: {@code Job [option=value]... -- [statement]...} */
public final class Job {
    public static void main(String[] args) throws Exception {
        List<String> words = Arrays.asList(args);
        int end = words.indexOf("--");
        Configuration options = new Configuration();
        for (String option : words.subList(0, end)) {
            String[] pair = option.split("=", 2);
            options.setString(pair[0], pair[1]);
        }
        TableEnvironment tables = TableEnvironment.create(
                EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(options).build());
        for (String statement : words.subList(end + 1, words.size())) {
            tables.executeSql(statement).await();
        }
    }
}
