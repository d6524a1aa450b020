// The Generate page: the workbench around the form.
const $ = (id) => document.getElementById(id);
const form = $("generate-form");
const answer = $("answer");
const pane = answer.parentElement;
const running = () => answer.querySelector("[data-running]");
const wide = matchMedia("(min-width: 861px) and (min-height: 520px)"); // as in generate.css

// An answer is outdated while the inputs are not those that it was asked with.
const inputs = () => JSON.stringify([...new FormData(form)].filter(([name]) => /^(template_id|input|model|parameters_json|[po]\.)/.test(name)));
let asked = inputs();

// Requests of its elements (preview, template) bubble through the form.
const isOwn = (event) => event.target === form || event.detail?.ctx?.sourceElement === form;
document.addEventListener("htmx:before:request", (event) => { if (isOwn(event)) asked = inputs(); });
document.addEventListener("htmx:finally:request", (event) => { if (isOwn(event)) refreshFolds(); });

const open = (field) => field.closest("details")?.setAttribute("open", "");
form.addEventListener("invalid", ({ target }) => open(target), true);

// The focus goes where the eye goes, but not out of a field in which somebody types.
let stopped;
function look(isNew) {
  const bad = form.querySelector("[aria-invalid=true]");
  if (bad) {
    open(bad);
    return bad.focus();
  }
  const at = document.activeElement;
  if (at === document.body || at.disabled || !at.checkVisibility()) {
    (running() ? $("stop-button") : stopped ? $("field-input") : answer.querySelector("h2"))?.focus({ preventScroll: true });
  }
  // On a phone the answer is below the form.
  if (isNew) answer.scrollIntoView({ block: wide.matches ? "nearest" : "start" });
  answer.querySelector(".note, .problem")?.scrollIntoView({ block: "nearest" });
}

let shown = answer.firstElementChild;
function answered() {
  const before = shown;
  shown = answer.firstElementChild;
  if (shown === before) return;
  markFields();
  look(!before.matches("[data-running]"));
  const said = $("announcement");
  said.textContent = answer.querySelector(".views") ? said.dataset.done : "";
  const id = running()?.dataset.running;
  if (id) {
    stopped = false;
    follow(true);
    sessionStorage.running = id;
    history.replaceState(null, "", `/?from=${id}`);
  } else delete sessionStorage.running;
}
// A return to the page joins the running generation.
if (sessionStorage.running && !location.search) location.replace(`/?from=${sessionStorage.running}`);
else if (!running()) delete sessionStorage.running;

function stop() {
  stopped = true;
  answer.querySelector("[data-stop]")?.click();
}
$("stop-button").addEventListener("click", stop);

// Follow the text until the reader scrolls up.
let following, last;
function follow(on) {
  following = on;
  pane.classList.toggle("away", !on);
}
const box = (place) => place.getBoundingClientRect();
const below = () => box(answer).bottom - (wide.matches ? box(pane).bottom : box($("action-bar")).top);
const toEnd = () => (wide.matches ? pane : window).scrollBy(0, below() + 16);
new MutationObserver(() => requestAnimationFrame(() => {
  if (running() && following && below() > 0) toEnd();
})).observe(answer, { childList: true, subtree: true });
document.addEventListener("scroll", () => {
  const now = wide.matches ? pane.scrollTop : scrollY;
  follow(below() < 48 || (following && now >= last));
  last = now;
}, true);
$("jump-button").addEventListener("click", toEnd);
follow(true);

// In the capture phase: a menu that Escape closes is still open here.
document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.isComposing || event.keyCode === 229 || document.querySelector("dialog[open]")) return;
  if (key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    if (!running()) form.requestSubmit($("generate-button"));
  } else if (key === "Enter" && form.contains(target) && target.matches("input")) {
    event.preventDefault(); // never a call by a stray Enter
  } else if (key === "Escape" && running() && !document.querySelector("details:is(.status, .confirm, .menu)[open], [aria-expanded=true]")) stop();
}, true);

// The preview and the payload update as people type.
let timer;
function refreshFolds() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    for (const name of ["preview", "payload"]) if ($(`${name}-fold`).open) htmx.trigger(`#${name}`, "refresh");
  }, 300);
}
form.addEventListener("toggle", ({ target }) => { if (target.id.endsWith("-fold")) refreshFolds(); }, true);

function markFields() {
  for (const message of form.querySelectorAll(".field-error")) {
    const field = $(message.id.replace("error-", ""));
    if (field) field.ariaInvalid = message.textContent.trim() ? "true" : null;
  }
}
function refresh() {
  for (const place of form.querySelectorAll("[data-count]")) {
    const { value, dataset } = $(place.dataset.count);
    const length = [...value].length;
    place.textContent = place.dataset.counted.replace("#", length.toLocaleString("en"));
    place.classList.toggle("over", length > dataset.max);
  }
  for (const place of form.querySelectorAll("[data-value-of]")) place.textContent = $(place.dataset.valueOf).value;
  const mark = answer.querySelector(".outdated");
  if (mark) mark.hidden = inputs() === asked;
}
form.addEventListener("input", ({ target }) => {
  refresh();
  refreshFolds();
  // A message leaves when its field is changed.
  const message = $(`error-${target.id}`);
  if (!message?.textContent) return;
  message.textContent = "";
  markFields();
  answer.querySelector(`.faults a[href="#${target.id}"]`)?.closest("li").remove();
});
document.addEventListener("htmx:after:swap", ({ target }) => {
  answered();
  refresh();
  if (target.id === "fields") refreshFolds();
});
refresh();
