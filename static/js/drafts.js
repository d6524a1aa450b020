// What is typed is kept for each owner and template, and the URL names the template that is shown.
const MAX_CHARS = 500_000; // of an owner's drafts; the oldest go first
const form = document.getElementById("generate-form");
const picker = form.elements.template_id;
const shown = () => form.elements.template_shown.value;
const query = () => new URLSearchParams(location.search);
// What the URL fills the form with.
const source = () => query().get("from") ?? query().get("example") ?? "";
const key = `drafts ${form.dataset.owner}`;
let current = shown();
let edited = false;

function drafts() {
  try {
    return new Map(JSON.parse(localStorage.getItem(key)));
  } catch {
    return new Map();
  }
}

function store(all) {
  let text;
  while ((text = JSON.stringify([...all])).length > MAX_CHARS && all.size > 1) all.delete(all.keys().next().value);
  try {
    localStorage.setItem(key, text);
  } catch {} // no room, or no permission
}

const fields = () => [...form.elements].filter(({ name, type }) => name && name !== "template_id" && !/hidden|submit|radio/.test(type));

function save() {
  edited = true;
  const all = drafts();
  all.delete(shown());
  store(all.set(shown(), { source: source(), values: fields().map((field) => [field.name, field.type === "checkbox" ? field.checked : field.value]) }));
}

function restore() {
  const draft = drafts().get(shown());
  // What was asked for wins, until it is edited.
  if (!draft || source() && draft.source !== source()) return;
  const values = new Map(draft.values);
  for (const field of fields()) {
    const value = values.get(field.name);
    // It may have been typed for another template.
    if (value === undefined || field.name === "input" && !value) continue;
    if (value === true || value === false) field.checked = value;
    else if (!field.options || [...field.options].some((option) => option.value === value)) field.value = value;
    if (value && field.rows) field.closest("details")?.setAttribute("open", "");
  }
  form.dispatchEvent(new Event("input"));
  edited = true;
}

function name() {
  sessionStorage.setItem("template", shown());
  const given = query();
  given.set("template", shown());
  history.replaceState(null, "", `/?${given}`);
}

form.addEventListener("input", ({ target }) => { if (target.name && target !== picker) save(); });
document.addEventListener("htmx:after:swap", () => {
  if (shown() !== current) {
    current = shown();
    history.pushState(null, "", `/?template=${current}`);
    restore();
  }
  name();
  // The URL may have another source now.
  if (edited) save();
});
document.addEventListener("htmx:finally:request", ({ target }) => { if (target === picker) picker.value = shown(); });
addEventListener("popstate", () => { if (query().has("template") && query().get("template") !== shown()) location.reload(); });
// It was changed before the scripts were ready.
addEventListener("pageshow", () => { if (picker.value !== shown()) picker.dispatchEvent(new Event("change")); });
document.addEventListener("click", ({ target }) => {
  if (!target.closest("[data-reset]")) return;
  const all = drafts();
  all.delete(shown());
  store(all);
});

const last = sessionStorage.getItem("template");
if (!location.search && !sessionStorage.getItem("running") && last !== current && picker.querySelector(`[value="${last}"]`)) {
  location.replace(`/?template=${last}`);
} else {
  name();
  restore();
}
