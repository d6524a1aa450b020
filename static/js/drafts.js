// Keeps what is typed by owner and template; the URL names the template.
const MAX_CHARS = 500_000; // of an owner's drafts; the oldest go first
const form = $("generate-form"), picker = form.elements.template_id, key = `drafts ${form.dataset.owner}`;
const shown = () => form.elements.template_shown.value;
const query = () => new URLSearchParams(location.search);
// What the URL fills the form with.
const source = () => query().get("from") ?? query().get("example") ?? "";
let current = shown(), edited = false;

function drafts() {
  try {
    return new Map(JSON.parse(localStorage[key]));
  } catch {
    return new Map();
  }
}

function keep(draft) {
  const all = drafts();
  all.delete(shown());
  if (draft) all.set(shown(), draft);
  let text;
  while ((text = JSON.stringify([...all])).length > MAX_CHARS && all.size > 1) all.delete(all.keys().next().value);
  try {
    localStorage[key] = text;
  } catch {} // no room, or no permission
}

const fields = () => [...form.elements].filter(({ name, type }) => name && name !== "template_id" && !/hidden|submit|radio/.test(type));

function save() {
  edited = true;
  keep({ source: source(), values: fields().map((field) => [field.name, field.type === "checkbox" ? field.checked : field.value]) });
}

function restore() {
  const draft = drafts().get(shown());
  // What was asked for wins, until it is edited.
  if (!draft || source() && draft.source !== source()) return;
  const values = new Map(draft.values);
  for (const field of fields()) {
    const value = values.get(field.name), before = field.value;
    // It may have been typed for another template.
    if (value === undefined || field.name === "input" && !value) continue;
    if (field.type === "checkbox") field.checked = value;
    else field.value = value;
    if (field.selectedIndex < 0) field.value = before; // no longer a choice
    if (value && field.rows) field.closest("details")?.setAttribute("open", "");
  }
  form.dispatchEvent(new Event("input"));
  edited = true;
}

function name() {
  sessionStorage.template = shown();
  const given = query();
  given.set("template", shown());
  history.replaceState(null, "", `/?${given}`);
}

form.addEventListener("input", ({ target }) => { if (target.name && target !== picker) save(); });
on("htmx:after:swap", () => {
  if (shown() !== current) {
    current = shown();
    history.pushState(null, "", `/?template=${current}`);
    restore();
  }
  name();
  // The URL may have another source now.
  if (edited) save();
});
on("htmx:finally:request", ({ target }) => { if (target === picker) picker.value = shown(); });
addEventListener("popstate", () => { if ((query().get("template") ?? shown()) !== shown()) location.reload(); });
// It was changed before the scripts were ready.
addEventListener("pageshow", () => { if (picker.value !== shown()) picker.dispatchEvent(new Event("change")); });
on("click", ({ target }) => { if (target.closest("[data-reset]")) keep(); });

const { template, running } = sessionStorage;
if (!location.search && !running && template !== current && picker.querySelector(`[value="${template}"]`)) location.replace(`/?template=${template}`);
else {
  name();
  restore();
}
