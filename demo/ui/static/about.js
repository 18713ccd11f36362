// Puts this demo's address into the snippets, and the running checkpoint's figures, which are
// props.value once the tab was opened, into a table.
const words = props.words;

element.querySelector(".cd-what").replaceChildren(...props.what.map((sentence) => {
  const paragraph = document.createElement("p");
  paragraph.textContent = sentence;
  return paragraph;
}));

const links = element.querySelector(".cd-links");
links.hidden = !props.links.length;
links.replaceChildren(...props.links.map(([address, label]) => {
  const link = document.createElement("a");
  link.className = "cd-button";
  link.target = "_blank";
  link.rel = "noopener";
  link.textContent = label;
  lead(link, address);
  return link;
}));

element.querySelectorAll(".cd-snippet").forEach((box) => {
  const code = document.createElement("pre");
  code.tabIndex = 0;
  code.textContent = props.snippets[box.dataset.name].replaceAll(props.url, base);
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = words.copy;
  button.addEventListener("click", () => copyAndSay(button, code.textContent, words.copied, words.refused));
  box.replaceChildren(code, button);
});

function row(name, value) {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = name;
  const cell = document.createElement("td");
  cell.textContent = value;
  line.append(head, cell);
  return line;
}

function shown(name, value) {
  if (words.percent.includes(name)) return (100 * value).toFixed(1) + "%";
  return Number.isInteger(value) ? value.toLocaleString() : value.toFixed(name === "perplexity" ? 1 : 3);
}

function draw() {
  const told = props.value;
  element.querySelector(".cd-checkpoint").hidden = !told;
  if (!told) return;
  put(element.querySelector(".cd-checkpoint-name"), `${told.checkpoint}@${told.revision} · ${told.engine} ${told.precision}`);
  const figures = Object.entries(told.figures).filter(([name, value]) => value !== null && words.figures[name]);
  element.querySelector(".cd-figures").replaceChildren(...figures.map(([name, value]) => row(words.figures[name], shown(name, value))));
  const picture = element.querySelector(".cd-plot img");
  if (picture.src || !told.plot) return;
  picture.addEventListener("load", () => { picture.parentElement.hidden = false; });
  picture.loading = "eager";
  picture.src = base + told.plot;
}

watch("value", draw);
draw();
