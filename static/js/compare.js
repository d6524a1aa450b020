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

// Columns that run; the page's HTML says how many did. Some may have ended before this script came.
const difference = document.getElementById("difference");
function look() {
  const running = document.querySelectorAll("[data-running]").length;
  if (difference && running < difference.dataset.left) htmx.trigger(difference, "refresh");
  if (difference) difference.dataset.left = running;
}
document.addEventListener("htmx:after:swap", look);
document.addEventListener("DOMContentLoaded", look);
