"use strict";
{
  const $ = (id) => document.getElementById(id);
  const lines = $("data").textContent.split("\n");
  const { words, colours, photos } = JSON.parse(lines[0]);
  const cards = [...$("gallery").children];
  const names = cards.map((card) => card.querySelector("b").textContent.toLowerCase());
  let shown = cards.map((_, i) => i);

  const make = (kind, attributes = {}, ...content) => {
    const svg = ["svg", "rect", "path", "circle", "text", "title"].includes(kind);
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

  const drawing = (photo) => {
    const masks = [], marks = [];
    photo.objects.forEach(([word, score, , , points, path], i) => {
      const own = { "data-object": i };
      const title = make("title", {}, `${words[word]} ${score.toFixed(2)}`);
      const mask = make("path", { ...own, class: "mask", d: path, fill: colours[word][0], stroke: colours[word][1] }, title);
      mask.addEventListener("pointerenter", () => light(i));
      mask.addEventListener("pointerleave", () => light(null));
      masks.unshift(mask); // the best on top
      const corners = points.filter((point) => point[2] > 1);
      if (corners.length === 2) {
        const [[x, y], [right, bottom]] = corners;
        const box = { x, y, width: right - x, height: bottom - y, stroke: colours[word][1] };
        marks.push(make("rect", { ...own, class: "prompt corners", ...box }));
      }
      for (const [x, y, label] of points.filter((point) => point[2] < 2)) {
        marks.push(make("circle", { ...own, class: `prompt ${label ? "inside" : "outside"}`, cx: x, cy: y, r: 13 }));
      }
      const [x, y] = points.find((point) => point[2] === 1) ?? [0, 0];
      const at = { x, y: y > 80 ? y - 28 : Math.min(y + 62, photo.grid[0] - 8) };
      marks.push(make("text", { ...own, class: "word", ...at }, words[word]));
    });
    return [...masks, ...marks];
  };

  const row = ([word, score, confidence, iou, , , agreement], i) => {
    const box = make("input", { type: "checkbox" });
    box.checked = true;
    box.addEventListener("change", () => {
      for (const part of $("drawing").querySelectorAll(`[data-object="${i}"]`)) {
        part.classList.toggle("object-off", !box.checked);
      }
    });
    const swatch = make("svg", { "aria-hidden": "true" }, make("rect", { width: "100%", height: "100%", fill: colours[word][1] }));
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

  const keepWordsInside = () => {
    const width = $("drawing").viewBox.baseVal.width;
    for (const word of $("drawing").querySelectorAll(".word")) {
      const half = word.getComputedTextLength() / 2 + 12;
      word.setAttribute("x", Math.min(Math.max(word.getAttribute("x"), half), Math.max(width - half, half)));
    }
  };

  const layers = () => {
    for (const name of ["photo", "map", "masks", "words", "prompts"]) {
      $("stage").classList.toggle(`no-${name}`, !$(`show-${name}`).checked);
    }
    const slides = $("show-map").checked && !$("before").hidden && !$("after").hidden;
    $("stage").classList.toggle("no-slide", !slides);
    $("cut").disabled = !slides;
    if ($("show-words").checked) keepWordsInside();
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
  follow();
}
