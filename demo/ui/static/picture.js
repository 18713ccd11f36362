// A card as a picture: text, label, origin and the demo's title and address inside one frame, so that
// none can be cut off from the others by accident. Drawn on a canvas: nothing is fetched, and no page
// style changes it.
const PICTURE = { width: 1200, margin: 40, padding: 72, head: 120 };
// By day, whatever the page is in.
const COLOURS = props.colours;
// Lines are drawn from the left; where words run the other way, yours are not marked.
const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}]/u;
const SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
const MONO = 'ui-monospace, SFMono-Regular, Menlo, Consolas, monospace';

// Lines no wider than `width`, together the whole text; a word that is wider than that is cut.
function wrapped(pen, text, width) {
  const lines = [];
  for (const paragraph of text.split(/(?<=\n)/)) {
    let line = "";
    for (const piece of paragraph.split(/(?<=\s)/)) {
      let word = piece;
      if (pen.measureText(line + word.trimEnd()).width <= width) { line += word; continue; }
      if (line) { lines.push(line); line = ""; }
      while (pen.measureText(word.trimEnd()).width > width) {
        // Between code points: half an emoji is none.
        const points = [...word];
        let end = points.length - 1;
        while (end > 1 && pen.measureText(points.slice(0, end).join("")).width > width) end -= 1;
        lines.push(points.slice(0, end).join(""));
        word = points.slice(end).join("");
      }
      line = word;
    }
    lines.push(line);
  }
  return lines;
}

// The robot of the page's cards, its shapes and names of colours read from there.
function drawRobot(pen, x, y, size) {
  const colour = (paint) => COLOURS[/--cd-([\w-]+)/.exec(paint)[1]];
  pen.save();
  pen.translate(x, y);
  pen.scale(size / 48, size / 48);
  for (const shape of root.querySelectorAll(".cd-card:first-child .cd-avatar :is(circle, path, rect)")) {
    const [at, path] = [(name) => Number(shape.getAttribute(name)), new Path2D(shape.getAttribute("d") || "")];
    if (shape.tagName === "circle") path.arc(at("cx"), at("cy"), at("r"), 0, 2 * Math.PI);
    if (shape.tagName === "rect") path.roundRect(at("x"), at("y"), at("width"), at("height"), at("rx"));
    const { fill, stroke, strokeWidth, strokeLinecap } = shape.closest("[style]").style;
    if (fill) { pen.fillStyle = colour(fill); pen.fill(path); }
    if (stroke) {
      Object.assign(pen, { strokeStyle: colour(stroke), lineWidth: Number(strokeWidth), lineCap: strokeLinecap || "butt" });
      pen.stroke(path);
    }
  }
  pen.restore();
}

function drawPicture(result) {
  const canvas = make("canvas", {});
  const pen = canvas.getContext("2d");
  const say = (font, colour, line, x, y) => {
    pen.font = font;
    pen.fillStyle = COLOURS[colour];
    pen.fillText(line, x, y);
  };
  const box = (x, y, width, height, fill, edge) => {
    pen.beginPath();
    pen.roundRect(x, y, width, height, 28);
    pen.fillStyle = COLOURS[fill];
    pen.fill();
    pen.strokeStyle = COLOURS[edge];
    pen.stroke();
  };
  const inner = PICTURE.width - 2 * (PICTURE.margin + PICTURE.padding);
  // Paragraphs: lines so many pixels apart, and the room below them.
  const paragraph = (font, colour, text, step, below = 0) => {
    pen.font = font;
    return { font, colour, lines: wrapped(pen, text, inner), step, below };
  };
  const text = paragraph(`40px ${SANS}`, "ink", result.text.trim(), 60, 40);
  const others = [
    paragraph(`700 30px ${SANS}`, "red", `Written by a computer. ${result.label}.`, 42, 34),
    paragraph(`700 30px ${SANS}`, "ink", props.title, 40),
    paragraph(`26px ${MONO}`, "green", base.replace(/^https?:\/\//, ""), 36, 24),
    paragraph(`20px ${MONO}`, "quiet", [result.note, result.source].filter(Boolean).join(" "), 30),
  ];
  const height = ({ lines, step, below }) => lines.length * step + below;
  canvas.width = PICTURE.width;
  canvas.height = 2 * PICTURE.margin + 2 * 48 + PICTURE.head + [text, ...others].reduce((sum, one) => sum + height(one), 0);

  pen.fillStyle = COLOURS.ground;
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.lineWidth = 2;
  box(PICTURE.margin, PICTURE.margin, canvas.width - 2 * PICTURE.margin, canvas.height - 2 * PICTURE.margin, "paper", "edge");
  // The holes of fanfold paper: what no screenshot of a tweet has.
  for (let y = PICTURE.margin + 40; y < canvas.height - PICTURE.margin - 24; y += 52) {
    for (const x of [PICTURE.margin + 32, canvas.width - PICTURE.margin - 32]) {
      pen.beginPath();
      pen.arc(x, y, 9, 0, 2 * Math.PI);
      pen.fillStyle = COLOURS.hole;
      pen.fill();
      pen.stroke();
    }
  }

  const left = PICTURE.margin + PICTURE.padding;
  let y = PICTURE.margin + 48;
  pen.textBaseline = "middle";
  drawRobot(pen, left, y, 92);
  say(`700 34px ${SANS}`, "ink", props.author, left + 116, y + 28);
  say(`27px ${SANS}`, "quiet", props.handle, left + 116, y + 70);
  const badgeFont = `700 28px ${SANS}`;
  pen.font = badgeFont;
  const badge = pen.measureText(props.badge).width + 48;
  box(left + inner - badge, y + 18, badge, 56, "red-ground", "red");
  say(badgeFont, "red", props.badge, left + inner - badge + 24, y + 47);
  y += PICTURE.head;

  pen.font = text.font;
  let drawn = 0;
  const prompt = result.text.slice(0, typed(result)).trimStart().length;
  text.lines.forEach((line, i) => {
    if (i % 2 === 0) { pen.fillStyle = COLOURS.bar; pen.fillRect(left - 16, y, inner + 32, 60); }
    const yours = line.slice(0, Math.max(0, prompt - drawn));
    if (yours && !RIGHT_TO_LEFT.test(result.text)) { pen.fillStyle = COLOURS.marker; pen.fillRect(left - 3, y + 8, pen.measureText(yours.trimEnd()).width + 6, 44); }
    say(text.font, text.colour, line.trimEnd(), left, y + 31);
    // Blacked out as on the page.
    for (const { index } of line.matchAll(REDACTED)) {
      const width = (text) => pen.measureText(text).width;
      pen.fillRect(left + width(line.slice(0, index + 1)), y + 12, width(line.slice(index + 1, index + 5)), 38);
    }
    drawn += line.length;
    y += 60;
  });
  y += text.below;
  for (const { font, colour, lines, step, below } of others) {
    for (const line of lines) {
      say(font, colour, line, left, y + step / 2);
      y += step;
    }
    y += below;
  }
  return canvas;
}
