// The compare page: begins all columns at once, and shows the difference when answers are complete.
const form = document.getElementById("compare-form");
const difference = document.getElementById("difference");

// The server need not wait for the answers: this page joins them.
form.querySelector("[data-live]").disabled = false;
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

// Columns may have ended before this script came: the page says how many ran.
function look() {
  const running = document.querySelectorAll("[data-running]").length;
  if (running < difference.dataset.left) htmx.trigger(difference, "refresh");
  difference.dataset.left = running;
}
if (difference) for (const event of ["htmx:after:swap", "DOMContentLoaded"]) document.addEventListener(event, look);
