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
const OPEN_PANELS = "details:is(.status, .confirm, .menu)[open]";
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll(OPEN_PANELS)) {
    if (!open.contains(event.target)) open.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll(OPEN_PANELS)) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});

// The colours change at once; the form sends the choice to the server, which keeps it in a cookie.
document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-themes]")) return;
  document.documentElement.dataset.theme = event.submitter.value;
  for (const button of event.target.elements) button.setAttribute("aria-pressed", String(button === event.submitter));
});

function localTimes() {
  const two = (value) => String(value).padStart(2, "0");
  for (const time of document.querySelectorAll("time[datetime]:not([title])")) {
    const when = new Date(time.dateTime);
    time.title = time.dateTime;
    time.textContent = `${when.getFullYear()}-${two(when.getMonth() + 1)}-${two(when.getDate())} `
      + `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
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
