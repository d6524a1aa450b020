// Swagger UI; its plain options are in the page.
const place = document.getElementById("swagger-ui"), { options, csrf, about, operations, example, body } = place.dataset;
const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => root.classList.toggle("dark-mode", root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
paint();
dark.onchange = paint;
// All is in landmarks, no heading is left out, and no link is in a button.
const wrapComponents = ({ React: { createElement: make } }) => {
  const within = (tag, props, before) => (Part) => (given) => make(tag, props, before, make(Part, given));
  return {
    InfoContainer: within("section", { "aria-label": about }),
    AuthorizeBtnContainer: within("aside"),
    operations: within("div", null, make("h2", null, operations)),
    DeepLink: (Link) => (given) => given.path.includes("/") ? make("span", null, given.text) : make(Link, given),
  };
};
window.SwaggerUIBundle({
  ...JSON.parse(options),
  domNode: place,
  requestInterceptor: (request) => ({ ...request, headers: { ...request.headers, ...csrf && { "X-CSRF-Token": csrf } } }),
  plugins: [(system) => ({ wrapComponents: wrapComponents(system) })],
});
// Names for fields without one, and the keyboard for code that scrolls.
new MutationObserver(() => {
  for (const field of place.querySelectorAll("select, textarea")) {
    field.ariaLabel ||= field.closest("[data-param-name]")?.dataset.paramName ?? (field.rows ? body : example);
  }
  for (const code of place.querySelectorAll("pre.microlight")) code.tabIndex = 0;
  for (const table of place.querySelectorAll("table[role]")) table.role = null;
}).observe(place, { childList: true, subtree: true });
