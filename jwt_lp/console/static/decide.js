// What the Decide pages can do better with a script: keys, "select all", and the number of decisions. They work without.
"use strict";

(() => {
  const KEYS_OFF = "jwt-lp-keys-off";
  const VALUES = { 0: "", 1: "keep", 2: "remove", 3: "narrow", 4: "exempt" };
  const form = document.getElementById("decide");
  if (!form) return;
  const items = Array.from(form.querySelectorAll(".item"));
  const dialog = document.getElementById("keys");
  const switched = document.getElementById("keys-on");
  const chosen = document.getElementById("chosen");
  const all = document.getElementById("tick-all");
  const ticks = Array.from(form.querySelectorAll("input[name=tick]"));

  // Storage may be forbidden; then the keys are on.
  const stored = {
    get off() {
      try {
        return localStorage.getItem(KEYS_OFF) === "1";
      } catch {
        return false;
      }
    },
    set off(value) {
      try {
        if (value) localStorage.setItem(KEYS_OFF, "1");
        else localStorage.removeItem(KEYS_OFF);
      } catch {
        // It holds until the page is left.
      }
    },
  };
  let off = stored.off;

  const chosenNow = () => form.querySelectorAll(".choose input[type=radio]:checked:not([value=''])").length;

  const count = () => {
    if (!chosen) return;
    const decided = chosenNow();
    const ticked = ticks.filter((each) => each.checked).length;
    chosen.textContent = `${decided} decided on this page${ticked ? `, ${ticked} selected` : ""}`;
    if (all) {
      all.checked = ticked > 0 && ticked === ticks.length;
      all.indeterminate = ticked > 0 && ticked < ticks.length;
    }
  };

  const current = () => items.findIndex((each) => each.contains(document.activeElement));

  const move = (step) => {
    if (!items.length) return;
    const at = current();
    const next = at < 0 ? (step > 0 ? 0 : items.length - 1) : Math.min(Math.max(at + step, 0), items.length - 1);
    items[next].focus();
    items[next].scrollIntoView({ block: "nearest" });
  };

  const decide = (item, value) => {
    const radio = Array.from(item.querySelectorAll(".choose input[type=radio]")).find((each) => each.value === value);
    if (!radio) return;
    radio.checked = true;
    count();
    if (value === "exempt") item.querySelector(".until input").focus();
    else item.focus();
  };

  const act = (key) => {
    const item = items[current()];
    if (key === "j") move(1);
    else if (key === "k") move(-1);
    else if (key === "?") dialog.showModal();
    else if (key === "p") form.requestSubmit(form.querySelector("button[value=preview]"));
    else if (!item) return false;
    else if (key in VALUES) decide(item, VALUES[key]);
    else if (key === "x") {
      const tick = item.querySelector("input[name=tick]");
      if (tick) tick.checked = !tick.checked;
      count();
    } else if (key === "e") {
      const more = item.querySelector("details.more");
      if (more) more.open = !more.open;
    } else return false;
    return true;
  };

  // In a field that takes text or has keys of its own, a key is text. Radio buttons and check boxes take none of ours.
  const types = (target) =>
    target.isContentEditable ||
    target.matches("textarea, select, input:not([type=radio]):not([type=checkbox])");

  document.addEventListener("keydown", (event) => {
    if (off || dialog.open || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (types(event.target)) {
      // Out of the day or the comment of an item, back to the keys.
      const item = items[current()];
      if (event.key === "Escape" && item) item.focus();
      return;
    }
    if (event.key === "p" && !form.querySelector("button[value=preview]")) return;
    if (act(event.key)) event.preventDefault();
  });

  // What was chosen and not sent would be lost with the page.
  let sending = false;
  form.addEventListener("submit", () => {
    sending = true;
  });
  window.addEventListener("pageshow", () => {
    sending = false;
  });
  window.addEventListener("beforeunload", (event) => {
    if (!sending && chosenNow()) event.preventDefault();
  });

  form.addEventListener("change", count);
  if (all) {
    all.addEventListener("change", () => {
      for (const each of ticks) each.checked = all.checked;
      count();
    });
  }
  switched.checked = !off;
  switched.addEventListener("change", () => {
    off = !switched.checked;
    stored.off = off;
  });
  const opener = document.getElementById("keys-open");
  if (opener) opener.addEventListener("click", () => dialog.showModal());
  for (const each of document.querySelectorAll(".js")) each.hidden = false;
  count();
})();
