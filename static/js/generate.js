// The workbench.
const form = $("generate-form"), answer = $("answer"), pane = answer.parentElement;
const running = () => answer.querySelector("[data-running]");
const wide = matchMedia("(min-width: 861px) and (min-height: 520px)"); // as in generate.css

// An answer is outdated while the inputs are not those that it was asked with.
const inputs = () => JSON.stringify([...new FormData(form)].filter(([name]) => !/^(submission|fresh)$/.test(name)));
let asked = inputs();

const isOwn = ({ detail }) => detail.ctx?.sourceElement === form;
on("htmx:before:request", (event) => { if (isOwn(event)) asked = inputs(); });
on("htmx:finally:request", (event) => { if (isOwn(event)) refreshFolds(); });

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
$("stop-button").onclick = stop;
on("keydown", (event) => {
  if (event.key === "Escape" && running() && !isComposing(event) && !document.querySelector(`${PANELS}, dialog[open], [aria-expanded=true]`)) stop();
}, true); // in the capture phase: a menu that Escape closes is still open here

// Follow the text until the reader scrolls up, if only a step.
const scroller = () => (wide.matches ? pane : document.scrollingElement);
const box = (place) => place.getBoundingClientRect();
const below = () => box(answer).bottom - (wide.matches ? box(pane).bottom : box($("action-bar")).top);
let following, last;
function follow(isOn) {
  following = isOn;
  last = scroller().scrollTop;
  pane.classList.toggle("away", !isOn);
}
function toEnd() {
  scroller().scrollBy(0, below() + 16);
  follow(true);
}
new MutationObserver(() => requestAnimationFrame(() => {
  if (running() && following && below() > 0) toEnd();
})).observe(answer, { childList: true, subtree: true });
on("scroll", () => {
  const now = scroller().scrollTop;
  if (now !== last) follow(now > last && (following || below() < 48));
}, true);
$("jump-button").onclick = toEnd;
follow(true);

let timer;
function refreshFolds() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    for (const name of ["preview", "payload"]) if ($(`${name}-fold`).open) htmx.trigger(`#${name}`, "refresh");
  }, 300);
}
form.addEventListener("toggle", refreshFolds, true);

function markFields() {
  for (const { id, textContent } of form.querySelectorAll(".field-error")) {
    const field = $(id.replace("error-", ""));
    if (field) field.ariaInvalid = textContent.trim() ? "true" : null;
  }
}
function refresh() {
  for (const place of form.querySelectorAll("[data-count]")) {
    const { value, dataset } = $(place.dataset.count), { length } = [...value];
    place.textContent = place.dataset.counted.replace("#", length.toLocaleString("en"));
    place.classList.toggle("over", length > dataset.max);
  }
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
on("htmx:after:swap", ({ target }) => {
  answered();
  refresh();
  if (target.id === "fields") refreshFolds();
});
refresh();
