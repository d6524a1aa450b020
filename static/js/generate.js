// The Generate page: the workbench around the form. running.js shows the text of a running generation.
const element = (id) => document.getElementById(id);
const [form, answer, bar, generateButton, stopButton, jumpButton] =
  ["generate-form", "answer", "bar", "generate-button", "stop-button", "jump-button"].map(element);
const pane = answer.parentElement;
const running = () => answer.querySelector("[data-running]");

// Events of other elements (preview, template) bubble through the form: react to its own only.
const own = (event) => event.target === form || event.detail?.ctx?.sourceElement === form;
document.addEventListener("htmx:before:request", (event) => {
  if (!own(event)) return;
  asked = inputs();
  answer.classList.add("stale");
});
document.addEventListener("htmx:finally:request", (event) => {
  if (!own(event)) return;
  answer.classList.remove("stale");
  refreshFolds(); // the preview may be a cache hit now
});

// An answer is outdated while the inputs are not those that it was asked with.
const inputs = () => JSON.stringify([...new FormData(form)].filter(([name]) => /^(template_id|input|model|parameters_json|p\.|option)/.test(name)));
let asked = inputs();
function markOutdated() {
  const mark = answer.querySelector(".outdated");
  if (mark) mark.hidden = inputs() === asked;
}

// The keyboard focus goes where the eye goes, but never out of a field in which somebody types.
let stopped = false;
const isLost = () => document.activeElement === document.body || !document.activeElement.checkVisibility() || document.activeElement.disabled;
function moveFocus() {
  const bad = form.querySelector("[aria-invalid=true]");
  if (bad) {
    const fold = bad.closest("details");
    if (fold) fold.open = true;
    bad.focus();
  } else if (isLost()) {
    (running() ? stopButton : stopped ? element("field-input") : answer.querySelector("h2"))?.focus({ preventScroll: true });
  }
}

// A reload, or a return to the page, joins the running generation.
const REMEMBERED = "running";
let shown = answer.firstElementChild;
function answered() {
  if (answer.firstElementChild === shown) return;
  const before = shown;
  shown = answer.firstElementChild;
  const panel = running();
  answer.classList.remove("stale");
  markFields();
  toggleButtons();
  moveFocus();
  if (panel) {
    stopped = false;
    following = true;
    sessionStorage.setItem(REMEMBERED, panel.dataset.running);
    history.replaceState(null, "", `/?from=${panel.dataset.running}`);
  } else {
    sessionStorage.removeItem(REMEMBERED);
  }
  const said = element("announcement");
  said.textContent = !panel && answer.querySelector(".views") ? said.dataset.done : "";
  // On a phone the answer is below the form.
  if (!before.matches("[data-running]")) answer.scrollIntoView({ block: wide.matches ? "nearest" : "start" });
}
function toggleButtons() {
  generateButton.hidden = Boolean(running());
  stopButton.hidden = !running();
  jumpButton.hidden = true;
}
const remembered = sessionStorage.getItem(REMEMBERED);
if (remembered && location.search === "") location.replace(`/?from=${remembered}`);
else if (!running()) sessionStorage.removeItem(REMEMBERED);
stopButton.addEventListener("click", () => {
  stopped = true;
  answer.querySelector("[data-stop]")?.click();
});

// Follow the text of a running generation, until the reader scrolls up.
const wide = matchMedia("(min-width: 861px) and (min-height: 520px)"); // as in generate.css
let following = true;
let last = 0;
const below = () => answer.getBoundingClientRect().bottom - (wide.matches ? pane.getBoundingClientRect().bottom : bar.getBoundingClientRect().top);
const toEnd = () => (wide.matches ? pane : window).scrollBy(0, below() + 16);
new MutationObserver(() => {
  if (running() && following) requestAnimationFrame(() => { if (running() && below() > 0) toEnd(); });
}).observe(answer, { childList: true, subtree: true });
document.addEventListener("scroll", () => {
  const now = wide.matches ? pane.scrollTop : scrollY;
  following = below() < 48 || (following && now >= last);
  last = now;
  jumpButton.hidden = following || !running();
}, true);
jumpButton.addEventListener("click", toEnd);

// In the capture phase: a menu that Escape closes is still open here.
document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229 || document.querySelector("dialog[open]")) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    if (!generateButton.hidden) form.requestSubmit(generateButton);
  } else if (event.key === "Enter" && form.contains(event.target) && event.target.matches("input")) {
    event.preventDefault(); // never a call by a stray Enter
  } else if (event.key === "Escape" && running() && !document.querySelector("details:is(.status, .confirm, .menu)[open], [aria-expanded=true]")) {
    stopButton.click();
  }
}, true);

// The preview and the payload update as people type, while they are open.
const FOLDS = { "preview-fold": "#preview", "payload-fold": "#payload" };
let timer;
function refreshFolds() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    for (const [fold, place] of Object.entries(FOLDS)) if (element(fold).open) htmx.trigger(place, "refresh");
  }, 300);
}
form.addEventListener("toggle", (event) => { if (event.target.id in FOLDS) refreshFolds(); }, true);

// The server's messages are under their fields; mark the fields for screen readers too.
const messageOf = (field) => element(`error-${field.id}`);
function markFields() {
  for (const message of form.querySelectorAll(".field-error")) {
    const field = element(message.id.replace("error-", ""));
    if (message.textContent.trim()) field?.setAttribute("aria-invalid", "true");
    else field?.removeAttribute("aria-invalid");
  }
}
// A message leaves when its field is changed.
form.addEventListener("input", ({ target }) => {
  if (!messageOf(target)?.textContent) return;
  messageOf(target).textContent = "";
  markFields();
  const link = answer.querySelector(`.faults a[href="#${target.id}"]`);
  link?.closest("li").remove();
  if (link && !answer.querySelector(".faults li")) answer.replaceChildren(element("no-answer").content.cloneNode(true));
});
answer.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#field-']");
  if (link) element(link.hash.slice(1))?.focus();
});

function refresh() {
  for (const place of form.querySelectorAll("[data-count]")) {
    const { value, dataset } = element(place.dataset.count);
    const length = [...value].length;
    place.textContent = place.dataset.counted.replace("#", length.toLocaleString("en"));
    place.classList.toggle("over", length > dataset.max);
  }
  for (const place of form.querySelectorAll("[data-value-of]")) place.textContent = element(place.dataset.valueOf).value;
  markOutdated();
}
form.addEventListener("input", () => {
  refresh();
  refreshFolds();
});
document.addEventListener("htmx:after:swap", (event) => {
  answered();
  refresh();
  // The fields of another template.
  if (event.target.id === "fields") refreshFolds();
});
toggleButtons();
refresh();
