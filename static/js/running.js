// A running generation: append its text, count its seconds, and reconnect if the connection breaks.
const running = () => document.querySelector("[data-running]");

function show(place, text) {
  if (place) place.textContent = text;
}

setInterval(() => {
  const elapsed = running()?.querySelector("[data-elapsed]");
  if (!elapsed) return;
  // Start from the server's time, then count with this clock.
  elapsed.began ??= performance.now() - Number(elapsed.dataset.elapsed);
  show(elapsed, ((performance.now() - elapsed.began) / 1000).toFixed(1));
}, 100);

document.addEventListener("delta", (event) => {
  const output = running()?.querySelector("[data-grows]");
  if (!output) return;
  // Append as text, never as HTML: a model's output is untrusted.
  output.append(JSON.parse(event.detail.data).text);
  show(running().querySelector("[data-characters]"), Number(event.detail.id).toLocaleString("en"));
});

// The stream ended before the generation: the connection broke. Load the text from the beginning.
document.addEventListener("htmx:sse:close", () => {
  const panel = running();
  if (!panel) return;
  setTimeout(() => {
    if (!panel.isConnected) return;
    show(panel.querySelector("[data-grows]"), "");
    htmx.ajax("GET", `/generate/${panel.dataset.running}/events`, { source: panel, target: panel.closest(".answer"), swap: "innerHTML" });
  }, 1000);
});
