// The Generate page: Stop, character counters, slider values, live preview and payload, Ctrl + Enter.
const form = document.getElementById("generate-form");
const generateButton = document.getElementById("generate-button");
const stopButton = document.getElementById("stop-button");
const answer = document.getElementById("answer");

// Show Stop instead of Generate while a generation runs, and keep the keyboard focus on it.
function toggleButtons() {
  const isRunning = answer.querySelector("[data-running]") !== null;
  const [off, on] = isRunning ? [generateButton, stopButton] : [stopButton, generateButton];
  const focused = document.activeElement === off;
  off.hidden = true;
  on.hidden = false;
  if (focused) on.focus();
  if (isRunning) answer.setAttribute("aria-busy", "true");
  else answer.removeAttribute("aria-busy");
}
stopButton.addEventListener("click", () => answer.querySelector("[data-stop]")?.click());

// Requests of other elements (payload, template) bubble through the form: react to its own only.
const own = (event) => event.target === form || event.detail?.ctx?.sourceElement === form;
document.addEventListener("htmx:before:request", (event) => { if (own(event)) answer.classList.add("stale"); });
document.addEventListener("htmx:finally:request", (event) => { if (own(event)) answer.classList.remove("stale"); });

// A reload, or a return to the page, joins the running generation.
const REMEMBERED = "running";
document.addEventListener("htmx:after:swap", () => {
  answer.classList.remove("stale");
  toggleButtons();
  const panel = answer.querySelector("[data-running]");
  if (panel) {
    sessionStorage.setItem(REMEMBERED, panel.dataset.running);
    history.replaceState(null, "", `/?from=${panel.dataset.running}`);
    // On a phone the answer is below the form.
    answer.scrollIntoView({ block: "nearest" });
  } else {
    sessionStorage.removeItem(REMEMBERED);
  }
});
const remembered = sessionStorage.getItem(REMEMBERED);
if (remembered && location.search === "") location.replace(`/?from=${remembered}`);
else if (!answer.querySelector("[data-running]")) sessionStorage.removeItem(REMEMBERED);
toggleButtons();

form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit(document.getElementById("generate-button"));
  }
});

function count() {
  for (const place of document.querySelectorAll("[data-count]")) {
    const area = document.getElementById(place.dataset.count);
    const length = [...area.value].length;
    const max = Number(area.dataset.max);
    place.textContent = `${length.toLocaleString("en")} of ${max.toLocaleString("en")} characters`;
    place.classList.toggle("over", length > max);
  }
}
// The preview and the payload update as people type, while they are open.
const FOLLOWING = { "preview-fold": "#preview", "payload-fold": "#payload" };
let timer = null;
function follow() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    for (const [fold, place] of Object.entries(FOLLOWING)) {
      if (document.getElementById(fold).open) htmx.trigger(place, "refresh");
    }
  }, 300);
}
form.addEventListener("input", follow);
form.addEventListener("toggle", (event) => { if (event.target.id in FOLLOWING) follow(); }, true);
// After an answer, the preview may be a cache hit.
document.addEventListener("htmx:finally:request", (event) => { if (own(event)) follow(); });

// The server's messages are under their fields; mark the fields for screen readers too.
function markFields() {
  for (const message of form.querySelectorAll(".field-error")) {
    const element = document.getElementById(message.id.replace("error-", ""));
    if (message.textContent.trim()) element?.setAttribute("aria-invalid", "true");
    else element?.removeAttribute("aria-invalid");
  }
}

// Show the value of each slider.
function showValues() {
  for (const place of form.querySelectorAll("[data-value-of]")) {
    place.textContent = document.getElementById(place.dataset.valueOf).value;
  }
}

function refresh() {
  count();
  showValues();
}
form.addEventListener("input", refresh);
document.addEventListener("htmx:after:swap", (event) => {
  refresh();
  markFields();
  // The fields of another template.
  if (event.target.id === "fields") follow();
});
refresh();
