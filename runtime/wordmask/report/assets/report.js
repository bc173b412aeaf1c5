"use strict";
{
  const $ = (id) => document.getElementById(id);
  const lines = $("data").textContent.split("\n");
  const { words, colours, photos } = JSON.parse(lines[0]);
  const cards = [...$("gallery").children];
  const names = cards.map((card) => card.querySelector("b").textContent.toLowerCase());
  let shown = cards.map((_, i) => i);

  const make = (kind, attributes = {}, ...content) => {
    const svg = ["svg", "g", "rect", "path", "line", "circle", "text", "title"].includes(kind);
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", kind) : document.createElement(kind);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...content);
    return element;
  };

  // the gallery

  const scores = photos.map(([, objects]) => objects.filter((_, i) => i % 2));
  const best = scores.map((each) => Math.max(-1, ...each));
  const worst = scores.map((each) => Math.min(2, ...each));
  const orders = {
    failed: (a, b) => photos[b][0] - photos[a][0] || a - b,
    run: (a, b) => a - b,
    many: (a, b) => photos[b][1].length - photos[a][1].length || a - b,
    sure: (a, b) => best[b] - best[a] || a - b,
    unsure: (a, b) => worst[a] - worst[b] || a - b,
  };
  const states = {
    all: () => true,
    found: ([failed, objects]) => !failed && objects.length > 0,
    empty: ([failed, objects]) => !failed && objects.length === 0,
    failed: ([failed]) => failed === 1,
  };

  const has = (objects, word, least) => {
    for (let i = 0; i < objects.length; i += 2) {
      if ((word === "" || objects[i] === +word) && objects[i + 1] >= least) return true;
    }
    return false;
  };

  const filter = () => {
    const word = $("word").value;
    const least = +$("score").value;
    const part = $("name").value.trim().toLowerCase();
    const fits = states[$("state").value];
    $("least").textContent = least.toFixed(2);
    shown = cards.map((_, i) => i).filter((i) =>
      fits(photos[i]) && names[i].includes(part) && ((word === "" && least === 0) || has(photos[i][1], word, least)));
    shown.sort(orders[$("order").value]);
    const left = new Set(shown);
    cards.forEach((card, i) => { card.hidden = !left.has(i); });
    $("gallery").append(...shown.map((i) => cards[i]));
    const all = cards.length.toLocaleString("en");
    $("count").textContent = shown.length === cards.length ? all : `${shown.length.toLocaleString("en")} of ${all}`;
    $("none").hidden = shown.length > 0;
  };
  $("filters").addEventListener("input", filter);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("all").addEventListener("click", () => {
    $("filters").reset();
    filter();
  });
  filter();

  // the viewer

  const viewer = $("viewer");
  let current = -1;

  const place = (image, address) => {
    image.hidden = !address;
    if (address) image.src = address;
    else image.removeAttribute("src");
  };

  const light = (i) => {
    for (const lit of viewer.querySelectorAll(".lit")) lit.classList.remove("lit");
    $("drawing").classList.toggle("some-lit", i !== null);
    if (i !== null) for (const part of viewer.querySelectorAll(`[data-object="${i}"]`)) part.classList.add("lit");
  };

  const masks = ([word, score, , , , path, , large], i) => {
    const own = { "data-object": i, class: large ? "mask large" : "mask", d: path };
    const fill = make("path", { ...own, fill: colours[word][0] }, make("title", {}, `${words[word]} ${score.toFixed(2)}`));
    fill.addEventListener("pointerenter", () => light(i));
    fill.addEventListener("pointerleave", () => light(null));
    const casing = make("path", { ...own, class: "mask casing" });
    return [fill, make("g", {}, casing, make("path", { ...own, stroke: colours[word][0] }))];
  };

  const prompts = ([word, , , , points], i) => {
    const own = { "data-object": i };
    const corners = points.filter((point) => point[2] > 1);
    const dots = points.filter((point) => point[2] < 2).map(([x, y, label]) =>
      make("circle", { ...own, class: `prompt ${label ? "inside" : "outside"}`, cx: x, cy: y, r: 13 }));
    if (corners.length < 2) return dots;
    const [[x, y], [right, bottom]] = corners;
    const box = { x, y, width: right - x, height: bottom - y, stroke: colours[word][0] };
    return [make("rect", { ...own, class: "prompt corners", ...box }), ...dots];
  };

  const label = ([word], i) => {
    const own = { "data-object": i };
    const [plate, letters] = colours[word];
    const text = make("text", { fill: letters }, words[word]);
    const leaders = [make("line", { ...own, class: "leader casing" }), make("line", { ...own, class: "leader", stroke: plate })];
    return [...leaders, make("g", { ...own, class: "word" }, make("rect", { fill: plate }), text)];
  };

  const drawing = (photo) => {
    const shapes = photo.objects.map(masks).reverse(); // the best on top
    const isLarge = ([fill]) => fill.classList.contains("large");
    const lines = [...shapes.filter(isLarge), ...shapes.filter((shape) => !isLarge(shape))].map((shape) => shape[1]);
    const labels = photo.objects.map(label);
    return [
      make("g", { class: "fills" }, ...shapes.map(([fill]) => fill)),
      make("g", { class: "outlines" }, ...lines),
      make("g", {}, ...labels.flatMap((each) => each.slice(0, 2))),
      make("g", {}, ...photo.objects.flatMap(prompts)),
      make("g", {}, ...labels.map((each) => each[2])),
    ];
  };

  const row = ([word, score, confidence, iou, , , agreement], i) => {
    const box = make("input", { type: "checkbox" });
    box.checked = true;
    box.addEventListener("change", () => {
      for (const part of $("drawing").querySelectorAll(`[data-object="${i}"]`)) {
        part.classList.toggle("object-off", !box.checked);
      }
    });
    const swatch = make("svg", { "aria-hidden": "true" }, make("rect", { width: "100%", height: "100%", fill: colours[word][0] }));
    const told = `agreement ${agreement.toFixed(2)} × SAM2's IoU ${iou.toFixed(2)}; confidence ${confidence.toFixed(2)}`;
    const label = make("label", { "data-object": i, title: told }, box, swatch,
      make("span", {}, words[word]), make("b", {}, score.toFixed(2)));
    for (const name of ["pointerenter", "focusin"]) label.addEventListener(name, () => light(i));
    for (const name of ["pointerleave", "focusout"]) label.addEventListener(name, () => light(null));
    return make("li", {}, label);
  };

  const times = (seconds) => {
    const most = Math.max(...Object.values(seconds), 1e-9);
    return Object.entries(seconds).sort((a, b) => b[1] - a[1]).map(([stage, value]) => {
      const bar = make("rect", { class: "ours", width: `${(100 * value) / most}%`, height: "100%" });
      const said = value >= 1 ? `${value.toFixed(2)} s` : `${Math.round(1000 * value)} ms`;
      return make("div", { class: "row" }, make("span", { class: "label" }, stage.replaceAll("_", " ")),
        make("svg", { class: "track", "aria-hidden": "true" }, bar), make("span", {}, said));
    });
  };

  // labels: placed as in the overlay (formats/label_placement.py), but anew for every size of the window

  const meet = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
  const common = (from, size, low, length) => Math.max(0, Math.min(from + size, low + length) - Math.max(from, low)) / size;
  const inside = (a, b) => common(a.x, a.width, b.x, b.width) * common(a.y, a.height, b.y, b.height);
  const isSmall = (box, size) => box.width * box.height < 6 * size.width * size.height;

  const cheapest = ({ box, size, small, at: [x, y] }, taken, others, limits) => {
    const step = size.height / 2;
    let found = null, least = Infinity;
    for (let top = 0; top + size.height <= limits.height; top += step) {
      for (let left = 0; left + size.width <= limits.width; left += step) {
        const rect = { x: left, y: top, ...size };
        const across = Math.max(left - x, x - left - size.width, 0), down = Math.max(top - y, y - top - size.height, 0);
        let cost = Math.hypot(across, down) + 0.15 * Math.abs(left + size.width / 2 - x) + (top > y ? 0.4 * size.height : 0);
        if (!small) cost -= 3 * size.height * inside(rect, box);
        if (cost >= least || taken.some((other) => meet(rect, other))) continue;
        for (const other of others) if (other !== box) cost += 2 * size.height * inside(rect, other);
        if (cost < least) [found, least] = [rect, cost];
      }
    }
    return found;
  };

  const placeLabels = () => {
    const svg = $("drawing"), limits = svg.viewBox.baseVal;
    const unit = limits.width / (svg.clientWidth || 1); // of the drawing, in a pixel of the page
    const marks = [...svg.querySelectorAll(".prompt:not(.corners)")].map((mark) => mark.getBBox());
    const asked = [...svg.querySelectorAll(".word")].map((word) => {
      const own = `[data-object="${word.dataset.object}"]`, text = word.querySelector("text");
      text.style.fontSize = `${13 * unit}px`;
      const size = { width: text.getComputedTextLength() + 10 * unit, height: 20 * unit };
      const box = svg.querySelector(`.fills ${own}`).getBBox(), dot = svg.querySelector(`.inside${own}`);
      const at = dot ? [+dot.getAttribute("cx"), +dot.getAttribute("cy")] : [box.x + box.width / 2, box.y + box.height / 2];
      return { word, text, size, box, at, small: isSmall(box, size), leaders: svg.querySelectorAll(`.leader${own}`) };
    });
    const taken = [...marks, ...asked.filter(({ small }) => small).map(({ box }) => box)];
    const others = asked.filter(({ small }) => !small).map(({ box }) => box);
    for (const label of asked) {
      const rect = cheapest(label, taken, others, limits), { at: [x, y], box, small } = label;
      label.word.classList.toggle("no-place", !rect);
      const over = rect && !small && inside(rect, box) >= 0.5;
      for (const line of label.leaders) line.classList.toggle("no-place", !rect || over);
      if (!rect) continue;
      taken.push(rect);
      for (const [name, value] of Object.entries({ ...rect, rx: 3 * unit })) label.word.firstChild.setAttribute(name, value);
      label.text.setAttribute("x", rect.x + rect.width / 2);
      label.text.setAttribute("y", rect.y + rect.height / 2);
      const from = { x1: Math.min(Math.max(x, rect.x), rect.x + rect.width), y1: Math.min(Math.max(y, rect.y), rect.y + rect.height) };
      for (const line of label.leaders) {
        for (const [name, value] of Object.entries({ ...from, x2: x, y2: y })) line.setAttribute(name, value);
      }
    }
  };

  const layers = () => {
    for (const name of ["photo", "map", "masks", "words", "prompts"]) {
      $("stage").classList.toggle(`no-${name}`, !$(`show-${name}`).checked);
    }
    const slides = $("show-map").checked && !$("before").hidden && !$("after").hidden;
    $("stage").classList.toggle("no-slide", !slides);
    $("cut").disabled = !slides;
    placeLabels();
  };

  const show = (i) => {
    const photo = JSON.parse(lines[i + 1]);
    current = i;
    const at = shown.indexOf(i);
    $("viewer-name").textContent = photo.name;
    $("viewer-place").textContent = at < 0 ? "" : `${at + 1} of ${shown.length}`;
    $("previous").disabled = at <= 0;
    $("next").disabled = at < 0 || at === shown.length - 1;
    const [height, width] = photo.grid ?? [3, 4];
    $("stage").style.setProperty("--ratio", width / height);
    const { photos: picture, maps, bilinear } = photo.pictures;
    place($("photo"), picture);
    place($("after"), maps);
    place($("before"), bilinear);
    $("photo").alt = `${photo.name}, ${photo.objects.length} objects`;
    $("frame").hidden = photo.status !== "ok";
    $("trouble").textContent = photo.status === "ok" ? (picture ? "" : "The photo is not there any more.")
      : `${photo.status}: ${photo.error}`;
    $("show-map").disabled = !maps;
    $("show-map").parentElement.title = maps ? "" : "The run kept no class map of this photo";
    $("drawing").setAttribute("viewBox", `0 0 ${width} ${height}`);
    $("drawing").setAttribute("aria-label", `${photo.objects.length} masks`);
    $("drawing").replaceChildren(...(photo.status === "ok" ? drawing(photo) : []));
    $("objects-title").textContent = `${photo.objects.length} object${photo.objects.length === 1 ? "" : "s"}`;
    $("objects").replaceChildren(...photo.objects.map(row));
    $("times").replaceChildren(...times(photo.seconds ?? {}));
    const [across, down] = photo.pixels;
    const facts = [photo.photo, across && `${across} × ${down} pixels, ${photo.prompts} prompts`, ...(photo.notes ?? [])];
    $("facts").replaceChildren(...facts.filter(Boolean).map((fact) => make("li", {}, fact)));
    light(null);
    if (!viewer.open) viewer.showModal();
    layers();
  };

  const follow = () => {
    const number = /^#photo-(\d+)$/.exec(location.hash)?.[1];
    if (number && number >= 1 && number <= cards.length) show(number - 1);
    else if (viewer.open) viewer.close();
  };
  const step = (by) => {
    const next = shown[shown.indexOf(current) + by];
    if (next !== undefined) location.replace(`#photo-${next + 1}`);
  };
  addEventListener("hashchange", follow);
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => {
    history.replaceState(null, "", "#");
    cards[current]?.focus();
  });
  viewer.addEventListener("keydown", (event) => {
    if (event.target.type === "range") return;
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  for (const name of ["photo", "map", "masks", "words", "prompts"]) $(`show-${name}`).addEventListener("change", layers);
  addEventListener("resize", () => { if (viewer.open) layers(); });
  follow();
}
