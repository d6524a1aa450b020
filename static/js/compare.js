// The compare page: focus on faults, and the difference when answers are complete.
const difference = $("difference");

function look() {
  const faults = document.querySelector("[data-new]");
  faults?.removeAttribute("data-new");
  faults?.focus();
  const running = document.querySelectorAll("[data-running]").length;
  if (running < difference?.dataset.left) htmx.trigger(difference, "refresh");
  if (difference) difference.dataset.left = running;
}
for (const name of ["htmx:after:swap", "DOMContentLoaded"]) on(name, look);
