// Shared by all pages: copy buttons, panels, colours, keys, and times in the reader's time zone.
document.documentElement.classList.add("js");

// For the other scripts, too.
const $ = (id) => document.getElementById(id);
const on = (name, act, capture) => document.addEventListener(name, act, capture);
const isComposing = (event) => event.isComposing || event.keyCode === 229; // a key of an input method
const PANELS = "details:is(.status, .confirm, .menu)[open]";

on("click", async ({ target }) => {
  const button = target.closest("[data-copy], [data-copy-code]");
  if (!button) return;
  const label = button.textContent;
  const { copy } = button.dataset;
  const place = copy ? $(copy) : button.closest(".code-block").querySelector("code");
  const { copied, copyByHand } = document.body.dataset;
  try {
    await navigator.clipboard.writeText(place.textContent);
    button.textContent = copied;
  } catch {
    // No clipboard without HTTPS or permission: select the text for the keyboard.
    if (copy) place.closest(".views")?.querySelector("[value=plain]")?.click();
    getSelection().selectAllChildren(place);
    button.textContent = copyByHand;
  }
  setTimeout(() => { button.textContent = label; }, 2000);
});

// One open panel at a time, and Escape closes it.
function closePanels(except, refocus) {
  for (const panel of document.querySelectorAll(PANELS)) {
    if (panel.contains(except)) continue;
    panel.open = false;
    if (refocus) panel.querySelector("summary").focus();
  }
}
on("click", ({ target }) => closePanels(target));
on("keydown", ({ key }) => { if (key === "Escape") closePanels(null, true); });

// The colours change at once; the server keeps the choice in a cookie.
on("submit", ({ target, submitter }) => {
  if (!target.matches("[data-themes]")) return;
  document.documentElement.dataset.theme = submitter.value;
  for (const button of target.elements) button.ariaPressed = button === submitter;
});

function localTimes() {
  for (const time of document.querySelectorAll("time[datetime]:not([title])")) {
    time.title = time.dateTime;
    time.textContent = new Date(time.dateTime).toLocaleString("sv"); // 2026-11-30 20:15:00
  }
}
localTimes();
on("htmx:after:swap", localTimes);

// Sliders show their value. In the capture phase, for events that do not bubble.
on("input", () => {
  for (const place of document.querySelectorAll("[data-value-of]")) place.textContent = $(place.dataset.valueOf).value;
}, true);

const shortcuts = $("shortcuts");
// Ctrl + Enter presses the button that costs money, and a stray Enter in a line of its form does not.
on("keydown", (event) => {
  const paid = document.querySelector("[data-paid]");
  if (event.key !== "Enter" || !paid || isComposing(event) || shortcuts.open) return;
  const isMeant = event.ctrlKey || event.metaKey;
  if (isMeant || (event.target.form === paid.form && event.target.matches("input"))) event.preventDefault();
  if (isMeant && paid.checkVisibility()) paid.form.requestSubmit(paid);
}, true);

// Shortcuts of one key: not during typing, and they can be turned off (WCAG 2.1.4).
const singleKeys = $("single-keys");
if (shortcuts) {
  singleKeys.checked = localStorage.singleKeys !== "false";
  singleKeys.onchange = () => { localStorage.singleKeys = singleKeys.checked; };
}
on("keydown", (event) => {
  if (!singleKeys?.checked || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog[open]")) return;
  const target = document.querySelector("main [type=search], #field-input");
  if (event.key === "?") shortcuts.showModal();
  else if (event.key === "/" && target) {
    event.preventDefault();
    target.focus();
  }
});
