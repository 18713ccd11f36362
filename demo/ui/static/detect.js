// Draws props.value, a result of /detect: which way it leans, by which words, how far to trust it.
const words = props.words;
const part = (name) => element.querySelector(".cd-" + name);

// Python counts characters, JavaScript halves of surrogate pairs: both are cut from code points.
function drawText(target, text, passages) {
  const characters = [...text];
  const slice = (from, to) => characters.slice(from, to).join("");
  target.replaceChildren();
  let at = 0;
  for (const { start, end, speaks_for: side, strength } of passages) {
    target.append(slice(at, start));
    const mark = document.createElement("mark");
    mark.className = "cd-for-" + side;
    mark.style.setProperty("--cd-strength", strength);
    mark.title = side === "computer" ? words.legend_computer : words.legend_person;
    mark.textContent = slice(start, end);
    target.append(mark);
    at = end;
  }
  target.append(slice(at));
}

function draw() {
  const value = props.value;
  part("verdict-empty").hidden = Boolean(value);
  part("verdict").hidden = !value;
  if (!value) return;
  const known = value.probability !== null;
  const percent = Math.round(value.probability * 100);
  put(part("verdict-words"), value.verdict);
  part("gauge").hidden = !known;
  part("gauge-mark").style.left = percent + "%";
  put(part("probability"), known ? filled(words.probability, percent) : "");
  part("gauge-track").setAttribute("aria-label", part("probability").textContent);
  drawText(part("judged"), value.text, value.passages);
  part("judged-legend").hidden = !value.passages.length;
  put(part("note"), value.note);
  put(part("trust"), value.trust);
}

watch("value", draw);
draw();
