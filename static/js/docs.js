// Swagger UI from this server only; no remote validator.
const place = document.getElementById("swagger-ui"), { url, csrf, about, operations, example, body } = place.dataset;
const root = document.documentElement, { theme } = root.dataset, dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => root.classList.toggle("dark-mode", theme === "dark" || (theme !== "light" && dark.matches));
paint();
dark.onchange = paint;
window.SwaggerUIBundle({
  url,
  domNode: place,
  validatorUrl: null,
  requestInterceptor: (request) => {
    if (csrf) request.headers["X-CSRF-Token"] = csrf;
    return request;
  },
  deepLinking: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
  syntaxHighlight: { theme: "monokai" },
  // All is in landmarks, no heading is left out, no link is in a button, and one server is no choice.
  plugins: [({ React: { createElement: make } }) => ({ wrapComponents: {
    InfoContainer: (Info) => (props) => make("section", { "aria-label": about }, make(Info, props)),
    AuthorizeBtnContainer: (Button) => (props) => make("aside", null, make(Button, props)),
    operations: (All) => (props) => make("div", null, make("h2", null, operations), make(All, props)),
    DeepLink: (Link) => (props) => props.path.includes("/") ? make("span", null, props.text) : make(Link, props),
    ServersContainer: () => () => null,
  } })],
});
// Names for fields without one, and the keyboard for code that scrolls.
new MutationObserver(() => {
  for (const field of place.querySelectorAll("select, textarea")) {
    field.ariaLabel ||= field.closest("[data-param-name]")?.dataset.paramName ?? (field.rows ? body : example);
  }
  for (const code of place.querySelectorAll("pre.microlight")) code.tabIndex = 0;
  for (const table of place.querySelectorAll("table[role]")) table.role = null;
}).observe(place, { childList: true, subtree: true });
