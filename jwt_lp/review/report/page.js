(() => {
  "use strict";
  const PAGE = 250;
  const byId = (id) => document.getElementById(id);
  const ranks = {
    verdict: ["used", "leaver", "unused", "dormant", "unobservable", "needed-but-denied"],
    proposal: ["keep", "narrow", "remove"],
  };
  const list = byId("list");
  if (list) {
    const body = list.tBodies[0];
    const original = Array.from(body.rows);
    const form = byId("tools");
    const texts = new WeakMap();
    let rows = original;
    let group = "";
    let most = original.length > 2 * PAGE ? PAGE : Infinity;

    const text = (row) => {
      if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
      return texts.get(row);
    };

    const apply = () => {
      const wanted = form.elements.text.value.trim().toLowerCase();
      const chosen = ["verdict", "proposal", "kind", "change"]
        .filter((name) => form.elements[name])
        .map((name) => [name, form.elements[name].value]);
      let found = 0;
      for (const row of rows) {
        const fits =
          (!group || row.dataset.g === group) &&
          chosen.every(([name, value]) => !value || row.dataset[name[0]] === value) &&
          (!wanted || text(row).includes(wanted));
        if (fits) found += 1;
        row.hidden = !fits || found > most;
      }
      const seen = Math.min(found, most);
      byId("status").textContent =
        `Showing ${seen.toLocaleString("en")} of ${original.length.toLocaleString("en")} findings` +
        (found > seen ? `; ${found.toLocaleString("en")} match` : "") +
        (group ? `; one group only` : "");
      byId("more").hidden = found <= seen;
    };

    const value = (row, column, kind) => {
      const cell = row.cells[column];
      if (kind in ranks) return ranks[kind].indexOf(row.dataset[kind[0]]);
      return kind === "number" ? Number(cell.dataset.s) : (cell.dataset.s ?? cell.textContent).toLowerCase();
    };

    const show = (next) => {
      rows = next;
      const all = document.createDocumentFragment();
      all.append(...rows);
      body.append(all);
      apply();
    };

    const headers = Array.from(list.tHead.rows[0].cells);
    headers.forEach((header, column) => {
      const kind = header.dataset.sort;
      if (!kind) return;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = header.textContent;
      header.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = header.getAttribute("aria-sort") === "ascending";
        headers.forEach((each) => each.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", down ? "descending" : "ascending");
        const keyed = original.map((row, place) => [value(row, column, kind), place, row]);
        const sign = down ? -1 : 1;
        keyed.sort((a, b) => (a[0] < b[0] ? -sign : a[0] > b[0] ? sign : a[1] - b[1]));
        show(keyed.map((each) => each[2]));
      });
    });

    let waiting;
    form.addEventListener("input", (event) => {
      clearTimeout(waiting);
      if (event.target.name === "text") waiting = setTimeout(apply, 80);
      else apply();
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => {
      group = "";
      headers.forEach((each) => each.removeAttribute("aria-sort"));
      setTimeout(() => show(original), 0);
    });
    byId("more-some").addEventListener("click", () => {
      most += PAGE;
      apply();
    });
    byId("more-all").addEventListener("click", () => {
      most = Infinity;
      apply();
    });
    for (const button of document.querySelectorAll("button[data-group]")) {
      button.addEventListener("click", () => {
        group = button.dataset.group;
        apply();
        byId("findings").scrollIntoView();
        byId("findings-title").focus();
      });
    }
    for (const each of document.querySelectorAll(".js")) each.hidden = false;
    apply();
  }
  window.addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details")) each.open = true;
  });
})();
