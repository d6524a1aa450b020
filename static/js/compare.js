// The compare page: begins all columns at once, and shows the difference when answers are complete.
const form = document.getElementById("compare-form");

// The server need not wait for the answers: this page joins them.
form.querySelector("[data-live]").disabled = false;
form.addEventListener("submit", (event) => {
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "";
});
addEventListener("pageshow", () => { delete form.dataset.sent; });

// Enter in a line of text must not start anything that costs; Ctrl + Enter does.
form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
  if (event.ctrlKey || event.metaKey) form.requestSubmit(form.querySelector(".primary"));
  else if (event.target.matches("input")) event.preventDefault();
});
form.addEventListener("input", ({ target }) => {
  const shown = form.querySelector(`[data-value-of="${target.id}"]`);
  if (shown) shown.textContent = target.value;
});

const running = () => document.querySelectorAll("[data-running]").length;
let left = running();
document.addEventListener("htmx:after:swap", () => {
  const now = running();
  if (now < left) htmx.trigger("#difference", "refresh");
  left = now;
});
