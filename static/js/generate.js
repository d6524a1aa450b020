// The Generate page: elapsed time while waiting, a counter under the input, the live payload, Ctrl + Enter.
const form = document.getElementById("generate-form");
const waiting = document.getElementById("waiting");
const elapsed = document.getElementById("elapsed");
let ticking = null;

// Requests of other elements (payload, template) bubble through the form: only its own counts.
const own = (event) => event.target === form || event.detail?.ctx?.sourceElement === form;

document.addEventListener("htmx:before:request", (event) => {
  if (!own(event)) return;
  const started = performance.now();
  waiting.hidden = false;
  document.getElementById("answer").classList.add("stale");
  const show = () => { elapsed.textContent = ((performance.now() - started) / 1000).toFixed(1); };
  show();
  clearInterval(ticking);
  ticking = setInterval(show, 100);
});

document.addEventListener("htmx:finally:request", (event) => {
  if (!own(event)) return;
  clearInterval(ticking);
  waiting.hidden = true;
  const answer = document.getElementById("answer");
  answer.classList.remove("stale");
  // On a phone the answer stands below the form.
  answer.scrollIntoView({ block: "nearest" });
});

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
// The payload follows what is typed, while it is open.
let settling = null;
function refreshPayload() {
  clearTimeout(settling);
  settling = setTimeout(() => {
    if (document.getElementById("payload-fold").open) htmx.trigger("#payload", "refresh");
  }, 300);
}
form.addEventListener("input", refreshPayload);
form.addEventListener("toggle", (event) => { if (event.target.id === "payload-fold") refreshPayload(); }, true);

// The server's messages stand under their fields; screen readers also want the fields marked.
function markFields() {
  for (const message of form.querySelectorAll(".field-error")) {
    const element = document.getElementById(message.id.replace("error-", ""));
    if (message.textContent.trim()) element?.setAttribute("aria-invalid", "true");
    else element?.removeAttribute("aria-invalid");
  }
}

form.addEventListener("input", count);
document.addEventListener("htmx:after:swap", () => { count(); markFields(); });
count();
