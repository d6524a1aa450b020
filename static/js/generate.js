// The Generate page: the workbench around the form. running.js shows the text of a running generation.
const element = (id) => document.getElementById(id);
const form = element("generate-form");
const answer = element("answer");
const pane = answer.parentElement;
const stopButton = element("stop-button");
const running = () => answer.querySelector("[data-running]");
const wide = matchMedia("(min-width: 861px) and (min-height: 520px)"); // as in generate.css

// An answer is outdated while the inputs are not those that it was asked with.
const inputs = () => JSON.stringify([...new FormData(form)].filter(([name]) => /^(template_id|input|model|parameters_json|p\.|o\.)/.test(name)));
let asked = inputs();

// Requests of other elements (preview, template) bubble through the form: react to its own only.
const onOwn = (type, react) => document.addEventListener(type, (event) => {
  if (event.target === form || event.detail?.ctx?.sourceElement === form) react();
});
onOwn("htmx:before:request", () => { asked = inputs(); });
onOwn("htmx:finally:request", refreshFolds); // the preview may be a cache hit now

// The focus goes where the eye goes, but not out of a field in which somebody types.
let stopped;
function look(isNew) {
  const bad = form.querySelector("[aria-invalid=true]");
  const at = document.activeElement;
  if (bad) {
    bad.closest("details")?.setAttribute("open", "");
    return bad.focus();
  }
  if (at === document.body || at.disabled || !at.checkVisibility()) {
    (running() ? stopButton : stopped ? element("field-input") : answer.querySelector("h2"))?.focus({ preventScroll: true });
  }
  // On a phone the answer is below the form.
  if (isNew) answer.scrollIntoView({ block: wide.matches ? "nearest" : "start" });
  answer.querySelector(".note, .problem")?.scrollIntoView({ block: "nearest" });
}

// A reload, or a return to the page, joins the running generation.
let shown = answer.firstElementChild;
function answered() {
  const before = shown;
  shown = answer.firstElementChild;
  if (shown === before) return;
  markFields();
  look(!before.matches("[data-running]"));
  const said = element("announcement");
  said.textContent = answer.querySelector(".views") ? said.dataset.done : "";
  const id = running()?.dataset.running;
  if (id) {
    stopped = false;
    follow(true);
    sessionStorage.running = id;
    history.replaceState(null, "", `/?from=${id}`);
  } else {
    delete sessionStorage.running;
  }
}
if (sessionStorage.running && !location.search) location.replace(`/?from=${sessionStorage.running}`);
else if (!running()) delete sessionStorage.running;
stopButton.addEventListener("click", () => {
  stopped = true;
  answer.querySelector("[data-stop]")?.click();
});

// Follow the text of a running generation until the reader scrolls up.
let following, last;
function follow(on) {
  following = on;
  pane.classList.toggle("away", !on);
}
const below = () => answer.getBoundingClientRect().bottom - (wide.matches ? pane.getBoundingClientRect().bottom : element("bar").getBoundingClientRect().top);
const toEnd = () => (wide.matches ? pane : window).scrollBy(0, below() + 16);
new MutationObserver(() => requestAnimationFrame(() => {
  if (running() && following && below() > 0) toEnd();
})).observe(answer, { childList: true, subtree: true });
document.addEventListener("scroll", () => {
  const now = wide.matches ? pane.scrollTop : scrollY;
  follow(below() < 48 || (following && now >= last));
  last = now;
}, true);
element("jump-button").addEventListener("click", toEnd);
follow(true);

// In the capture phase: a menu that Escape closes is still open here.
document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.isComposing || event.keyCode === 229 || document.querySelector("dialog[open]")) return;
  if (key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    if (!running()) form.requestSubmit(element("generate-button"));
  } else if (key === "Enter" && form.contains(target) && target.matches("input")) {
    event.preventDefault(); // never a call by a stray Enter
  } else if (key === "Escape" && running() && !document.querySelector("details:is(.status, .confirm, .menu)[open], [aria-expanded=true]")) {
    stopButton.click();
  }
}, true);

// The browser cannot show what is wrong in a closed menu or fold.
form.addEventListener("invalid", ({ target }) => target.closest("details")?.setAttribute("open", ""), true);

// The preview and the payload update as people type, while they are open.
let timer;
function refreshFolds() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    for (const name of ["preview", "payload"]) if (element(`${name}-fold`).open) htmx.trigger(`#${name}`, "refresh");
  }, 300);
}
form.addEventListener("toggle", ({ target }) => { if (target.id.endsWith("-fold")) refreshFolds(); }, true);

// The server's messages are under their fields; mark the fields for screen readers too.
function markFields() {
  for (const message of form.querySelectorAll(".field-error")) {
    const field = element(message.id.replace("error-", ""));
    if (field) field.ariaInvalid = message.textContent.trim() ? "true" : null;
  }
}
function refresh() {
  for (const place of form.querySelectorAll("[data-count]")) {
    const { value, dataset } = element(place.dataset.count);
    const length = [...value].length;
    place.textContent = place.dataset.counted.replace("#", length.toLocaleString("en"));
    place.classList.toggle("over", length > dataset.max);
  }
  for (const place of form.querySelectorAll("[data-value-of]")) place.textContent = element(place.dataset.valueOf).value;
  const mark = answer.querySelector(".outdated");
  if (mark) mark.hidden = inputs() === asked;
}
form.addEventListener("input", ({ target }) => {
  refresh();
  refreshFolds();
  // A message leaves when its field is changed.
  const message = element(`error-${target.id}`);
  if (!message?.textContent) return;
  message.textContent = "";
  markFields();
  answer.querySelector(`.faults a[href="#${target.id}"]`)?.closest("li").remove();
  if (answer.querySelector(".faults:empty")) answer.replaceChildren(element("no-answer").content.cloneNode(true));
});
document.addEventListener("htmx:after:swap", ({ target }) => {
  answered();
  refresh();
  if (target.id === "fields") refreshFolds(); // of another template
});
refresh();
