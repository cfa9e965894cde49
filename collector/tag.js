/*
 * The tag. <script async src="https://HOST/tag.js"></script> counts a pageview on load, on history changes and on
 * return from the back/forward cache. webevents("Signup", {plan: "pro"}) sends an event of one's own.
 *
 * An event is written to localStorage before it is sent and deleted when the collector has it, so that it outlives
 * the page, the tab and the network. Nothing here throws into the page, and nothing at all happens while the
 * visitor objects (Do Not Track, Global Privacy Control) or has not agreed (data-consent, webevents("consent", true)).
 */
(() => {
  const w = window, d = document, nav = navigator;
  const SECOND = 1e3;
  const PAUSE = 15 * SECOND; // before what failed is sent again; doubled with every failure, to five minutes
  const LEASE = 60 * SECOND; // an event on its way is left alone: whether it arrived, its page may not live to see
  const QUEUE = "webevents:";
  const OFFSET = "webeventsOffset";
  const LAST = "webeventsLast";
  const VISITOR = "Uiud";

  const safe = (act) => function () {
    try {
      return act.apply(this, arguments);
    } catch (e) {}
  };

  safe(() => {
    const tag = d.currentScript || d.querySelector('script[src*="/tag."]');
    const endpoint = new URL("api/webeventspub", tag.src).href;
    const listen = (type, act, target) => (target || w).addEventListener(type, safe(act));
    let live; // begun, and the visitor agrees
    let store = {};
    let tab = {};
    let session = []; // id, number of its last event, time of that
    let visitor;
    let viewed; // address of the last pageview
    let pending; // a pageview that waits for its title
    let failures = 0;
    let timer;

    if ([nav.doNotTrack, w.doNotTrack, nav.globalPrivacyControl].some((said) => said == 1 || said == "yes")) {
      w.webevents = () => {};
      return;
    }

    const uuid = () =>
      "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) =>
        (c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (c / 4)))).toString(16));

    const short = (text) => text.slice(0, 4096);

    // A fragment is a place in a page, except where a router keeps its address in it.
    const address = () => short(location.href.replace(/#(?![!/]).*/, ""));

    const cookie = (value, age) => {
      d.cookie = "sessionId=" + value + ";path=/;samesite=lax;max-age=" + age + (location.protocol == "https:" ? ";secure" : "");
    };

    // The cookie holds the session's id and the number of its last event; it lives half an hour from that.
    const slide = (now) => {
      const kept = (d.cookie.match(/(?:^|; )sessionId=([^;]+)/) || [])[1];
      const [id, seq] = kept ? kept.split(".") : now - session[2] < 1800 * SECOND ? session : [];
      session = [id || uuid(), (+seq || 0) + 1, now];
      cookie(session[0] + "." + session[1], 1800);
    };

    const build = (eventType, from, outside, props) => {
      const now = Date.now();
      const offset = +store[OFFSET] || 0;
      slide(now);
      visitor = store[VISITOR] || visitor || uuid();
      safe(() => (store[VISITOR] = visitor))();
      return [{
        timestamp: now + offset, lastPageVisited: short(from), pageUrl: address(), eventType,
        landingPage: +outside, referrer: outside && from ? short(from) : "direct",
        uiud: visitor, sessionId: session[0], eventId: uuid(), seq: session[1], props,
      }, offset];
    };

    // A key begins with the time, so that sorted keys are in the events' order.
    const keys = () => Object.keys(store).filter((key) => !key.indexOf(QUEUE)).sort();

    // Nobody sends the event before `until`.
    const save = (key, [event, offset], until) => {
      store[key] = JSON.stringify([event, offset, until]);
    };

    const queue = (kept) => {
      const event = kept[0];
      const key = QUEUE + event.timestamp + event.eventId;
      event.pageTitle = short(d.title);
      safe(() => keys()[500] || save(key, kept, Date.now() + LEASE))();
      post([[key, kept]]);
    };

    // text/plain and no credentials: a request that needs no preflight. sentAt is told by the clock of the event.
    const post = (items) =>
      fetch(endpoint, {
        method: "POST", keepalive: true, credentials: "omit",
        body: JSON.stringify(items.map(([, [event, offset]]) => ({...event, sentAt: Date.now() + offset}))),
      }).then((answer) => {
        if (!answer.ok && ![400, 401, 403, 413].includes(answer.status)) throw 0;
        items.forEach(([key]) => delete store[key]);
        failures = 0;
        return answer.json();
      }).then((said) => {
        const offset = said.receivedAt - Date.now();
        if (live && Math.abs(offset - (+store[OFFSET] || 0)) > 30 * SECOND) store[OFFSET] = offset;
      }).catch(safe(() => {
        failures++;
        items.forEach(([key, kept]) => store[key] && save(key, kept, 0));
      })).then(plan);

    // The oldest events that nobody is sending, now leased: at most 50, and half of what keepalive allows.
    const take = () => {
      const items = [];
      const now = Date.now();
      let room = 3e4;
      for (const key of keys()) {
        const kept = JSON.parse(store[key]);
        if (kept[2] < now && items.length < 50 && ((room -= store[key].length) > 0 || !items[0])) {
          items.push([key, kept]);
          save(key, kept, now + LEASE);
        }
      }
      return items;
    };

    // One tab at a time: the next one finds the leases, and the deletions, of the first.
    const retry = safe(() => {
      const send = safe(() => {
        const items = live ? take() : [];
        return items[0] ? post(items) : plan();
      });
      nav.locks ? nav.locks.request(QUEUE, send) : send();
    });

    const plan = safe(() => {
      clearTimeout(timer);
      if (keys()[0]) timer = setTimeout(retry, Math.min(PAUSE * 2 ** failures, 300 * SECOND) * (0.5 + Math.random()));
    });

    const settle = () => {
      const view = pending;
      pending = 0;
      view && queue(view);
    };

    const see = (from, outside, wait) => {
      settle();
      pending = build("Pageview", from, outside);
      tab[LAST] = viewed = address();
      wait ? setTimeout(safe(settle), wait) : settle();
    };

    // A router sets the title after the address.
    const move = safe(() => live && viewed != address() && see(viewed, false, 99));

    // Who reloads or goes back has not come from outside a second time.
    const begin = () => {
      const again = (performance.getEntriesByType("navigation")[0] || {}).type != "navigate" && tab[LAST];
      live = true;
      see(again || d.referrer, !again && d.referrer.split("/")[2] != location.host);
      retry();
    };

    const forget = () => {
      live = pending = visitor = 0;
      session = [];
      keys().concat(VISITOR, OFFSET).forEach((key) => delete store[key]);
      delete tab[LAST];
      cookie("", 0);
    };

    const start = () => {
      const waiting = (w.webevents || {}).q || [];
      safe(() => {
        store = localStorage;
        tab = sessionStorage;
      })();
      w.webevents = safe((name, value) => {
        if (name != "consent") {
          settle();
          if (live) queue(build(name, d.referrer, false, value));
        } else if (!value) forget();
        else live || begin();
      });
      "consent" in tag.dataset || begin();
      waiting.forEach((call) => w.webevents(...call));
    };

    ["pushState", "replaceState"].forEach((name) => {
      const change = history[name];
      history[name] = function () {
        const done = change.apply(this, arguments);
        move();
        return done;
      };
    });
    listen("popstate", move);
    listen("pageshow", (e) => e.persisted && live && see(tab[LAST] || viewed, false, 1));
    listen("pagehide", settle);
    listen("online", retry);

    if (d.prerendering) listen("prerenderingchange", start, d);
    else if (!d.title && d.readyState == "loading") listen("DOMContentLoaded", start, d);
    else start();
  })();
})();
