// A generation under way: its text grows, its time runs, and a broken connection joins it again.
const running = () => document.querySelector("[data-running]");

function show(place, text) {
  if (place) place.textContent = text;
}

setInterval(() => {
  const elapsed = running()?.querySelector("[data-elapsed]");
  if (!elapsed) return;
  // What the server says that it took so far, and from then on by this clock.
  elapsed.began ??= performance.now() - Number(elapsed.dataset.elapsed);
  show(elapsed, ((performance.now() - elapsed.began) / 1000).toFixed(1));
}, 100);

document.addEventListener("delta", (event) => {
  const output = running()?.querySelector("[data-grows]");
  if (!output) return;
  // Text, never HTML: what a model says is not to be trusted.
  output.append(JSON.parse(event.detail.data).text);
  show(running().querySelector("[data-characters]"), Number(event.detail.id).toLocaleString("en"));
});

// The stream ended and the generation did not: the connection broke. Its text is asked for from the beginning.
document.addEventListener("htmx:sse:close", () => {
  const panel = running();
  if (!panel) return;
  setTimeout(() => {
    if (!panel.isConnected) return;
    show(panel.querySelector("[data-grows]"), "");
    htmx.ajax("GET", `/generate/${panel.dataset.running}/events`, { source: panel, target: panel.closest(".answer"), swap: "innerHTML" });
  }, 1000);
});
