"use strict";
(() => {
  const key = `mpidl ${location.pathname}`;
  const state = { tables: {}, open: {}, y: 0, theme: "", paused: false, ...recall() };

  // A browser may keep nothing for pages from files.
  function recall() {
    try {
      return JSON.parse(sessionStorage.getItem(key)) ?? {};
    } catch {
      return {};
    }
  }

  function keep() {
    try {
      sessionStorage.setItem(key, JSON.stringify(state));
    } catch {
      /* Then the page starts anew. */
    }
  }

  const words = new Intl.Collator("en", { numeric: true });

  function sorter(rows, column, kind) {
    const number = kind === "number";
    const values = new Map();
    for (const row of rows) {
      const text = row.cells[column].textContent;
      values.set(row, number ? Number(text.replaceAll(",", "")) : text);
    }
    return (sign) => (a, b) => {
      const x = values.get(a);
      const y = values.get(b);
      if (!number) return sign * words.compare(x, y);
      // What is no number comes last, whichever way.
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return sign * (x - y || 0);
    };
  }

  function sortable(table, kept) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];

    function sort(column, sign) {
      const order = [...rows].sort(sorter(rows, column, heads[column].dataset.kind)(sign));
      body.append(...order);
      for (const head of heads) head.removeAttribute("aria-sort");
      heads[column].setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    }

    heads.forEach((head, column) => {
      if (head.dataset.kind === "spark") return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        kept.sign = kept.column === column ? -kept.sign : 1;
        kept.column = column;
        sort(column, kept.sign);
        keep();
      });
    });
    if (kept.column < heads.length) sort(kept.column, kept.sign);
    return rows;
  }

  function filterable(tools, rows, kept) {
    const input = tools.querySelector("input");
    if (!input) return;
    const output = tools.querySelector("output");
    const total = rows.length.toLocaleString("en");
    let texts;

    function filter() {
      texts ??= rows.map((row) => [...row.cells].map((cell) => cell.textContent).join("\t").toLowerCase());
      const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, at) => {
        const fits = wanted.every((word) => texts[at].includes(word));
        if (row.hidden === fits) row.hidden = !fits;
        shown += fits;
      });
      output.textContent = wanted.length ? `${shown.toLocaleString("en")} of ${total} rows` : `${total} rows`;
    }

    input.value = kept.filter ?? "";
    if (input.value) filter();
    input.addEventListener("input", () => {
      kept.filter = input.value;
      filter();
      keep();
    });
  }

  function brief(tools, table, kept) {
    const button = tools.querySelector(".more");
    if (!button) return;
    const show = () => {
      table.classList.toggle("brief", !kept.all);
      button.setAttribute("aria-pressed", String(Boolean(kept.all)));
    };
    show();
    button.addEventListener("click", () => {
      kept.all = !kept.all;
      show();
      keep();
    });
  }

  for (const table of document.querySelectorAll(".scroll > table")) {
    const kept = (state.tables[table.id] ??= {});
    const tools = table.parentElement.previousElementSibling;
    tools.hidden = false;
    filterable(tools, sortable(table, kept), kept);
    brief(tools, table, kept);
  }

  for (const details of document.querySelectorAll("details[id]")) {
    if (details.id in state.open) details.open = state.open[details.id];
    details.addEventListener("toggle", () => {
      state.open[details.id] = details.open;
      keep();
    });
  }

  // A link to what is folded opens it.
  const unfold = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    for (let at = target; at; at = at.parentElement) if (at instanceof HTMLDetailsElement) at.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  if (!state.y) unfold();

  const theme = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    if (state.theme) document.documentElement.dataset.theme = state.theme;
    theme.textContent = (state.theme || (dark.matches ? "dark" : "light")) === "dark" ? "Light" : "Dark";
  };
  theme.addEventListener("click", () => {
    state.theme = theme.textContent.toLowerCase();
    paint();
    keep();
  });
  dark.addEventListener("change", paint);
  theme.hidden = false;
  paint();

  const links = new Map();
  for (const link of document.querySelectorAll("nav a")) links.set(link.hash.slice(1), link);
  const seen = new Set();
  const watch = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) seen[isIntersecting ? "add" : "delete"](target.id);
      const first = [...links.keys()].find((name) => seen.has(name));
      if (!first) return;
      for (const [name, link] of links) {
        if (name === first) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    },
    { rootMargin: "-10% 0px -60% 0px" },
  );
  for (const name of links.keys()) watch.observe(document.getElementById(name));

  const seconds = Number(document.body.dataset.refresh);
  if (seconds) {
    const pause = document.getElementById("pause");
    const show = () => {
      pause.setAttribute("aria-pressed", String(state.paused));
      pause.textContent = state.paused ? "Go on" : "Pause";
    };
    pause.hidden = false;
    show();
    pause.addEventListener("click", () => {
      state.paused = !state.paused;
      show();
      keep();
    });
    history.scrollRestoration = "manual";
    scrollTo({ top: state.y, behavior: "instant" });
    addEventListener("pagehide", () => {
      state.y = scrollY;
      keep();
    });
    setInterval(() => {
      if (state.paused) return;
      location.reload();
    }, 1000 * seconds);
  }
})();
