const by = id => document.getElementById(id);

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// What was asked, line by line: an English line among Arabic ones keeps its full stop at its end.
function prompt(text, lang, dir) {
  const made = element("div", undefined, {class: "prompt", lang, dir});
  for (const line of text.split("\n")) {
    const foreign = dir === "rtl" && !/[\u0590-\u08ff\ufb1d-\ufefc]/.test(line);
    made.append(element("div", line, foreign ? {dir: "ltr"} : {}));
  }
  return made;
}

// Options of a select: what is shown is the name, the value is its place among the names.
function options(id, names) {
  names.forEach((name, place) => by(id).append(element("option", name, {value: place})));
}

// Show the items that are wanted, `size` at a time. `card` makes an item's element; `wanted` reads the filters and
// answers a predicate over items.
function browse(items, card, wanted, size = 12) {
  let shown = items, page = 0;
  function draw() {
    const pages = Math.max(1, Math.ceil(shown.length / size));
    page = Math.min(Math.max(page, 0), pages - 1);
    by("items").replaceChildren(...shown.slice(page * size, (page + 1) * size).map(card));
    by("place").textContent = `${shown.length} questions, page ${page + 1} of ${pages}`;
    by("back").disabled = page === 0;
    by("on").disabled = page === pages - 1;
  }
  function filter() {
    shown = items.filter(wanted());
    page = 0;
    draw();
  }
  document.querySelectorAll(".filters select, .filters input").forEach(one => one.addEventListener("input", filter));
  by("back").addEventListener("click", () => { page -= 1; draw(); });
  by("on").addEventListener("click", () => { page += 1; draw(); });
  filter();
}
