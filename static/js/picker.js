// A searchable list (combobox) over the select, which keeps the value.
const [select, search, list] = document.querySelectorAll("#template_id, #template-search, #choices");
const [recent, , nothing] = list.querySelectorAll("ul, p");
const all = [...list.querySelectorAll("[role=option]")];
const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
const shown = () => all.filter((option) => option.offsetParent);
let active;

function activate(option) {
  active = option;
  for (const each of all) each.ariaSelected = each === option;
  option?.scrollIntoView({ block: "nearest" });
  search.setAttribute("aria-activedescendant", option?.id ?? "");
}

// Others set the select, too.
function show() {
  if (list.hidden) search.value = select.selectedOptions[0]?.text ?? "";
}

function toggle(isOpen) {
  list.hidden = !isOpen;
  search.ariaExpanded = isOpen;
  show();
}

function open(query = "") {
  const words = plain(query).match(/\S+/g) ?? [];
  toggle(true);
  recent.hidden = words.length;
  for (const option of all) option.hidden = !words.every((word) => plain(option.textContent).includes(word));
  const found = shown();
  nothing.hidden = found.length;
  activate(found.find((option) => words[0] ? plain(option.textContent).startsWith(words[0]) : option.dataset.value === select.value) ?? found[0]);
}

function pick(option) {
  toggle(false);
  if (!option || option.dataset.value === select.value) return;
  select.value = option.dataset.value;
  select.dispatchEvent(new Event("change", { bubbles: true }));
}

const keys = {
  ArrowDown: (options) => activate(options[options.indexOf(active) + 1] ?? options[0]),
  ArrowUp: (options) => activate(options.at(options.indexOf(active) - 1)),
  Enter: () => pick(active),
  Escape: () => pick(),
};
search.onkeydown = (event) => {
  const run = keys[event.key];
  if (!run || isComposing(event) || event.ctrlKey || event.metaKey) return;
  if (!list.hidden) run(shown());
  else if (run === keys.Escape) return;
  else open();
  event.preventDefault();
  event.stopPropagation();
};
search.oninput = () => open(search.value);
search.onfocus = search.select;
search.onclick = () => list.hidden && open();
search.onblur = () => toggle(false);
list.onmousedown = (event) => event.preventDefault();
list.onclick = ({ target }) => pick(target.closest("[role=option]"));
for (const type of ["change", "htmx:finally:request", "pageshow"]) addEventListener(type, show);

select.onfocus = () => search.focus();
select.tabIndex = -1;
select.ariaHidden = true;
select.labels[0].htmlFor = search.id;
show();
