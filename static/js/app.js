// Shared by all pages: copy buttons, panels, colours, and times in the reader's time zone.
document.documentElement.classList.add("js");

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-code]");
  if (!button) return;
  const label = button.textContent;
  const { copy } = button.dataset;
  const place = copy ? document.getElementById(copy) : button.closest(".code-block").querySelector("code");
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
  for (const panel of document.querySelectorAll("details:is(.status, .confirm, .menu)[open]")) {
    if (panel.contains(except)) continue;
    panel.open = false;
    if (refocus) panel.querySelector("summary").focus();
  }
}
document.addEventListener("click", ({ target }) => closePanels(target));
document.addEventListener("keydown", ({ key }) => { if (key === "Escape") closePanels(null, true); });

// The colours change at once; the form sends the choice to the server, which keeps it in a cookie.
document.addEventListener("submit", ({ target, submitter }) => {
  if (!target.matches("[data-themes]")) return;
  document.documentElement.dataset.theme = submitter.value;
  for (const button of target.elements) button.ariaPressed = button === submitter;
});

function localTimes() {
  for (const time of document.querySelectorAll("time[datetime]:not([title])")) {
    time.title = time.dateTime;
    time.textContent = new Date(time.dateTime).toLocaleString("sv"); // 2026-11-30 20:15:00
  }
  for (const zone of document.querySelectorAll(".zone")) zone.hidden = true;
}
localTimes();
document.addEventListener("htmx:after:swap", localTimes);

// Shortcuts of a single key: not while somebody types, and they can be turned off (WCAG 2.1.4).
const shortcuts = document.getElementById("shortcuts");
const singleKeys = document.getElementById("single-keys");
if (shortcuts) {
  singleKeys.checked = localStorage.singleKeys !== "off";
  singleKeys.addEventListener("change", () => { localStorage.singleKeys = singleKeys.checked ? "on" : "off"; });
  document.querySelector(".keys").addEventListener("click", () => shortcuts.showModal());
}
document.addEventListener("keydown", (event) => {
  if (!singleKeys?.checked || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  const target = document.querySelector("main [type=search], #field-input");
  if (event.key === "?") shortcuts.showModal();
  else if (event.key === "/" && target) {
    event.preventDefault();
    target.focus();
  }
});
