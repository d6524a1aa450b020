// The compare page: Enter, sliders, focus on faults, and the difference when answers are complete.
const setup = document.getElementById("setup");
const difference = document.getElementById("difference");

// A stray Enter must not start anything that costs.
setup.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
  if (event.ctrlKey || event.metaKey) event.target.form?.requestSubmit(document.getElementById("compare-button"));
  else if (event.target.matches("input")) event.preventDefault();
});
setup.addEventListener("input", ({ target }) => {
  const shown = setup.querySelector(`[data-value-of="${target.id}"]`);
  if (shown) shown.textContent = target.value;
});

function look() {
  const faults = setup.querySelector("[data-new]");
  faults?.removeAttribute("data-new");
  faults?.focus();
  const running = document.querySelectorAll("[data-running]").length;
  if (running < difference?.dataset.left) htmx.trigger(difference, "refresh");
  if (difference) difference.dataset.left = running;
}
for (const name of ["htmx:after:swap", "DOMContentLoaded"]) document.addEventListener(name, look);
