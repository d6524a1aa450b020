// Shared by all pages: copy buttons, and times in the reader's time zone.
document.documentElement.classList.add("js");

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  } catch {
    // No clipboard without HTTPS or permission: select the text for the keyboard.
    const place = document.getElementById(button.dataset.copy);
    place.closest(".views")?.querySelector("[value=plain]")?.click();
    getSelection().selectAllChildren(place);
    button.textContent = "Press Ctrl + C";
  }
  setTimeout(() => { button.textContent = label; }, 2000);
});

// One open panel at a time, and Escape closes it.
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details:is(.status, .confirm, .menu)[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details:is(.status, .confirm, .menu)[open]")) {
    open.open = false;
    open.querySelector("summary").focus();
  }
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
