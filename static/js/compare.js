// The compare page: focus on faults, and the difference when answers are complete.
const difference = $("difference");
on("htmx:after:swap", ({ target }) => {
  target.querySelector("[role=alert]")?.focus();
  if (!difference) return;
  const running = document.querySelectorAll("[data-running]").length;
  if (running < difference.dataset.left) htmx.trigger(difference, "refresh");
  difference.dataset.left = running;
});
