// Shortcuts, and how long a case is held still. Every page works without this.
"use strict";

const STORED = "prescan-shortcuts";
const SKIPPED = 'input:not([type="radio"]):not([type="checkbox"]), textarea, select, [contenteditable]';

function stored() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null; // storage may be forbidden; then the choice lasts as long as the page
  }
}

let on = stored() !== "off";

for (const part of document.querySelectorAll(".with-script")) part.hidden = false;
for (const part of document.querySelectorAll(".without-script")) part.hidden = true;

const toggle = document.getElementById("shortcuts-on");
if (toggle) {
  toggle.checked = on;
  toggle.addEventListener("change", () => {
    on = toggle.checked;
    try {
      localStorage.setItem(STORED, on ? "on" : "off");
    } catch {
      // as above
    }
  });
}

function step(by) {
  const items = [...document.querySelectorAll("a.item")];
  if (!items.length) return;
  const at = items.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : items.length - 1) : at + by;
  items[Math.max(0, Math.min(items.length - 1, next))].focus();
}

function use(element) {
  if (element.matches("textarea")) element.focus();
  else if (element.matches('input[type="radio"]')) {
    element.checked = true;
    element.focus();
  } else if (element.matches("summary")) {
    const open = element.parentElement;
    open.open = !open.open;
    if (open.open) element.focus();
  } else element.click();
}

document.addEventListener("keydown", (event) => {
  if (!on || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest && event.target.closest(SKIPPED)) return;
  if (event.key === "j" || event.key === "k") {
    step(event.key === "j" ? 1 : -1);
    event.preventDefault();
    return;
  }
  for (const element of document.querySelectorAll("[aria-keyshortcuts]")) {
    if (element.getAttribute("aria-keyshortcuts") === event.key) {
      use(element);
      event.preventDefault();
      return;
    }
  }
});

const left = document.querySelector(".left[data-seconds]");
if (left) {
  const ending = document.querySelector(".ending"); // is read aloud, so it changes twice at most
  const ends = Date.now() + 1000 * Number(left.dataset.seconds);
  const show = () => {
    const minutes = Math.ceil((ends - Date.now()) / 60000);
    left.textContent = minutes > 0 ? `, ${minutes} min left` : "";
    const over = "Your time with this case is over. Take it again before you go on.";
    const words = minutes > 2 ? "" : minutes > 0 ? "Your time with this case is nearly over." : over;
    if (ending.textContent !== words) ending.textContent = words;
  };
  show();
  setInterval(show, 5000);
}
