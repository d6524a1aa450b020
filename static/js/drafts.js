// The Generate page: what is typed is kept for each owner and template, and the URL names the template that is shown.
const MAX_CHARS = 1_000_000; // of all drafts; the oldest go first
const form = document.getElementById("generate-form");
const picker = document.getElementById("template_id");
const shown = () => form.elements.template_shown.value;
const key = () => `draft ${form.dataset.owner} ${shown()}`;
let current = shown();
let edited = false;

// What the URL asks the form to be filled with, other than a draft.
function source() {
  const query = new URLSearchParams(location.search);
  return query.get("from") ?? (query.has("example") ? "example" : "");
}

const fields = () => [...form.elements].filter((field) => field.name && field !== picker && !/hidden|submit|button|radio/.test(field.type));

function save() {
  edited = true;
  const values = fields().map((field) => [field.name, field.type === "checkbox" ? field.checked : field.value]);
  const draft = Date.now() + JSON.stringify({ source: source(), values });
  try {
    let room = MAX_CHARS - draft.length;
    const others = Object.keys(localStorage).filter((name) => name.startsWith("draft ") && name !== key());
    for (const name of others.sort((a, b) => parseInt(localStorage[b]) - parseInt(localStorage[a]))) {
      room -= localStorage[name].length;
      if (room < 0) localStorage.removeItem(name);
    }
    localStorage.setItem(key(), draft);
  } catch {
    // No room, or no permission: nothing is kept.
  }
}

function restore() {
  let draft;
  try {
    draft = JSON.parse(localStorage.getItem(key()).slice(13));
  } catch {
    return false;
  }
  // What was asked for wins, until it is edited.
  if (source() && draft.source !== source()) return false;
  const values = new Map(draft.values);
  for (const field of fields()) {
    const value = values.get(field.name);
    // An empty draft does not take away what was typed for another template.
    if (value === undefined || field.name === "input" && !value) continue;
    if (field.type === "checkbox") field.checked = value;
    else if (field.tagName !== "SELECT" || [...field.options].some((option) => option.value === value)) field.value = value;
    if (value && field.tagName === "TEXTAREA") field.closest("details")?.setAttribute("open", "");
  }
  form.dispatchEvent(new Event("input"));
  return edited = true;
}

function agree() {
  if (picker.value === shown()) return;
  picker.value = shown();
  picker.dispatchEvent(new Event("input", { bubbles: true }));
}

function name() {
  sessionStorage.setItem("template", shown());
  const query = new URLSearchParams(location.search);
  if (query.get("template") === shown()) return;
  query.set("template", shown());
  history.replaceState(null, "", `/?${query}`);
}

form.addEventListener("input", ({ target }) => { if (target.name && target !== picker) save(); });
document.addEventListener("htmx:after:swap", () => {
  if (shown() !== current) {
    current = shown();
    history.pushState(null, "", `/?template=${current}`);
    if (restore()) return;
  }
  name();
  // The URL may have another source now.
  if (edited) save();
});
document.addEventListener("htmx:finally:request", (event) => { if (event.target === picker) agree(); });
addEventListener("popstate", () => {
  if ((new URLSearchParams(location.search).get("template") ?? shown()) !== shown()) location.reload();
});
// It was changed before the scripts were ready.
addEventListener("pageshow", () => { if (picker.value !== shown()) picker.dispatchEvent(new Event("change")); });
document.addEventListener("click", ({ target }) => { if (target.closest("[data-reset]")) localStorage.removeItem(key()); });

const last = sessionStorage.getItem("template");
if (!location.search && !sessionStorage.getItem("running") && last !== current && [...picker.options].some((option) => option.value === last)) {
  location.replace(`/?template=${last}`);
} else {
  name();
  restore();
}
