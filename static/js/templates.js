// Filters the cards during typing. Without scripts, the server does.
const cards = [...$("cards").children];
$("find").oninput = ({ target }) => {
  const words = target.value.toLowerCase().split(/\s+/);
  for (const card of cards) card.hidden = !words.every((word) => card.textContent.toLowerCase().includes(word));
  $("none").hidden = cards.some((card) => !card.hidden);
};
