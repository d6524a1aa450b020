// Keep the filters in the URL, so a reload or a bookmark shows the same list.
const filters = document.getElementById("filters");

document.addEventListener("htmx:after:swap", (event) => {
  if (!filters || event.target?.id !== "rows" && event.detail?.ctx?.target?.id !== "rows") return;
  const given = new URLSearchParams(new FormData(filters));
  for (const [name, value] of [...given]) if (!value.trim()) given.delete(name);
  history.replaceState(null, "", given.size ? `/history?${given}` : "/history");
});
