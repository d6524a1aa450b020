// The compare page: the difference when answers are complete.
const difference = $("difference");
if (difference) {
  on("htmx:after:swap", () => {
    const running = document.querySelectorAll("[data-running]").length;
    if (running < difference.dataset.left) htmx.trigger(difference, "refresh");
    difference.dataset.left = running;
  });
}
