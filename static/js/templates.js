// Filters the cards during typing. Without scripts, the form asks the server.
const find = document.getElementById("find");
const cards = [...document.getElementById("cards").children];
find.addEventListener("input", () => {
  const words = find.value.toLowerCase().split(/\s+/);
  for (const card of cards) card.hidden = !words.every((word) => card.textContent.toLowerCase().includes(word));
  document.getElementById("none").hidden = cards.some((card) => !card.hidden);
});
