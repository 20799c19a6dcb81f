// The book's one explorer: knobs over a grid of results.  An ES module for anywidget (live) and, with its last line replaced, for a page
// without a kernel.  `model.get("data")` is what widgets.py describes; a live model is asked by message for what the grid lacks.

const make = (tag, name = "", text = "") => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== "") element.textContent = text;
  return element;
};
const percent = (value) => (value === null || value === undefined ? "–" : value.toFixed(value < 10 ? 1 : 0));
const safe = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const clip = (value) => Math.min(100, Math.max(0, value));
let named = 0;

class State {
  constructor(data) {
    this.data = data;
    this.choose(data.start || 0);
  }
  choose(view) {
    const before = this.values || {};
    this.view = this.data.views[view];
    this.number = view;
    this.values = {};
    for (const knob of this.view.knobs) this.values[knob.key] = knob.values.includes(before[knob.key]) ? before[knob.key] : knob.start;
  }
  key(part) { return part.by.map((name) => this.values[name]).join("|"); }
  part(panel, name) { const part = panel.parts[name]; return part && part.frames[this.key(part)]; }
  get missing() {
    return this.view.panels.some((panel) => Object.values(panel.parts).some((part) => !(this.key(part) in part.frames)));
  }
}

// ---- panels: each returns a function that draws the state

const PANELS = {
  say(box, panel, state) {
    box.setAttribute("aria-live", "polite");
    const answer = make("b", "fu-answer"), note = make("span", "fu-note");
    box.append(answer, note);
    return () => {
      const say = state.part(panel, "say") || ["", ""];
      answer.textContent = say[0];
      answer.dataset.answer = { "=": "same", "≠": "other" }[say[2]] || "open";
      note.textContent = say[1];
    };
  },

  rows(box, panel, state) {
    if (panel.fixed.own.length > 1) box.classList.add("fu-wide");
    const lines = panel.fixed.rows.map((label) => {
      const line = make("div", "fu-row"), track = make("span", "fu-track"), value = make("span", "fu-value");
      const marks = {};
      for (const name of ["fu-band", "fu-mark", "fu-before"]) track.append((marks[name] = make("i", name)));
      for (const own of panel.fixed.own) for (const name of ["fu-line", "fu-dot"]) track.append((marks[own + name] = make("i", `${name} fu-${own}`)));
      line.append(make("span", "fu-label", label), track, value);
      box.append(line);
      return { line, marks, value };
    });
    const put = (mark, left, width) => {
      mark.hidden = left === null || left === undefined;
      if (mark.hidden) return;
      mark.style.left = `${clip(left)}%`;
      if (width !== undefined) mark.style.width = `${Math.max(0, clip(left + width) - clip(left))}%`;
    };
    return () => {
      const base = state.part(panel, "base");
      lines.forEach(({ line, marks, value }, place) => {
        const reference = base && base[place];
        line.hidden = !reference;
        if (!reference) return;
        const [mean, low, high, before] = reference;
        put(marks["fu-band"], low, high - low);
        put(marks["fu-mark"], mean);
        put(marks["fu-before"], before);
        const words = panel.fixed.own.map((own) => {
          const known = (state.part(panel, own) || [])[place];
          put(marks[`${own}fu-line`], known ? known[1] : null, known ? known[2] - known[1] : 0);
          put(marks[`${own}fu-dot`], known ? known[0] : null);
          return known ? `${percent(known[0])} ${known[3]}`.trim() : "–";
        });
        value.textContent = `${words.join(" · ")} vs ${percent(mean)} ${panel.fixed.unit ?? "%"}`.trim();
      });
    };
  },

  held(box, panel, state) {
    const colour = (label) => `var(--fu-class-${label % 10})`;
    const legend = make("p", "fu-key");
    panel.fixed.classes.forEach((name, label) => {
      const square = make("b", "fu-square", panel.fixed.marks ? panel.fixed.marks[label] : "");
      square.style.background = colour(label);
      legend.append(square, String(name));
    });
    const list = make("div");
    box.append(list, legend);
    return () => {
      const rows = state.part(panel, "held") || [];
      const longest = Math.max(1, ...rows.map((row) => row.counts.reduce((a, b) => a + b, 0)));
      list.replaceChildren(...rows.map((row) => {
        const line = make("div", row.leaving ? "fu-row fu-leaving" : "fu-row"), track = make("span", "fu-track");
        let left = 0;
        row.counts.forEach((count, label) => {
          if (!count) return;
          const bar = make("i", "fu-held");
          Object.assign(bar.style, { left: `${(100 * left) / longest}%`, width: `${(100 * count) / longest}%`, background: colour(label) });
          bar.title = `${panel.fixed.classes[label]}: ${count}`;
          track.append(bar);
          left += count;
        });
        line.append(make("span", "fu-label", row.leaving ? `${row.name} leaves ▸` : row.name), track, make("span", "fu-value", row.text));
        return line;
      }));
    };
  },

  curves(box, panel, state) {
    const picture = make("div", "fu-curves"), key = make("p", "fu-key");
    box.append(picture, key);
    const draw = () => {
      const lines = [...(state.part(panel, "reference") || []), ...(state.part(panel, "own") || [])];
      const wide = Math.max(240, picture.clientWidth || 420), high = 190, left = 38, below = 34;
      const { y: [low, top] } = panel.fixed, last = Math.max(panel.fixed.x, ...lines.flatMap(({ points }) => points.map(([round]) => round)), 1);
      const x = (value) => left + ((wide - left - 8) * value) / last, y = (value) => 8 + ((high - below - 8) * (top - Math.min(top, Math.max(low, value)))) / (top - low);
      const ticks = [low, (low + top) / 2, top].map((v) => `<line class="fu-grid" x1="${left}" x2="${wide - 8}" y1="${y(v)}" y2="${y(v)}"/><text x="${left - 6}" y="${y(v) + 4}" text-anchor="end">${v.toFixed(0)}</text>`);
      const rounds = Array.from({ length: last + 1 }, (_, v) => v).filter((v) => v % (last > 6 ? 2 : 1) === 0);
      ticks.push(...rounds.map((v) => `<text x="${x(v)}" y="${high - below + 17}" text-anchor="middle">${v}</text>`));
      const paths = lines.map(({ style, points }) => {
        const path = points.map(([a, b], place) => `${place ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
        const dots = points.map(([a, b]) => `<circle cx="${x(a).toFixed(1)}" cy="${y(b).toFixed(1)}" r="3"/>`).join("");
        return `<g class="fu-curve fu-${style}"><path d="${path}"/>${dots}</g>`;
      });
      const words = lines.map(({ name, points }) => `${name} ends at ${percent(points[points.length - 1][1])} %`).join("; ");
      picture.innerHTML = `<svg width="${wide}" height="${high}" role="img"><title></title>${ticks.join("")}<text x="${(left + wide) / 2}" y="${high - 2}" text-anchor="middle">${safe(panel.fixed.label)}</text>${paths.join("")}</svg>`;
      picture.querySelector("title").textContent = `${panel.title}: ${words}.`;
      key.replaceChildren(...lines.flatMap(({ name, style }) => [make("b", `fu-key-line fu-${style}`), document.createTextNode(name)]));
    };
    new ResizeObserver(() => requestAnimationFrame(draw)).observe(picture);
    return draw;
  },

  wall(box, panel, state) {
    const WORDS = { known: "known, as by retraining", forgotten: "forgotten, as by retraining", still: "still known, though most retrained models do not", lost: "lost, though at least half of the retrained models know it" };
    const MARKS = { known: "", forgotten: "–", still: "!", lost: "×" };
    const say = make("p", "fu-wall-say"), grid = make("div", "fu-tiles"), one = make("div", "fu-one");
    const big = make("div", "fu-big"), what = make("p", "fu-what"), dots = make("p", "fu-dots"), text = make("div");
    say.setAttribute("aria-live", "polite");
    grid.setAttribute("role", "group");
    grid.setAttribute("aria-label", "images of the client who left, the most memorized first");
    big.setAttribute("role", "img");
    big.setAttribute("aria-label", "the chosen image, enlarged");
    text.append(what, dots);
    one.append(big, text);
    const key = make("p", "fu-key");
    for (const kind of ["forgotten", "still", "lost"]) {
      key.append(make("b", `fu-mark-${kind}`, MARKS[kind]), WORDS[kind]);
    }
    key.append("; no mark: known, as by retraining. Bar: share of retrained models that are right.");
    box.append(say, grid, one, key);
    const tiles = Array.from({ length: panel.fixed.columns * panel.fixed.rows }, () => {
      const tile = make("button", "fu-tile");
      tile.type = "button";
      tile.append(make("b"), make("i"));
      grid.append(tile);
      return tile;
    });
    let chosen = 0;
    const place = (element, sheet, image) => {
      const { columns, rows } = panel.fixed;
      element.style.backgroundImage = `url(${sheet.sprite})`;
      element.style.backgroundSize = `${100 * columns}% auto`;
      element.style.backgroundPosition = `${(100 * (image % columns)) / (columns - 1)}% ${(100 * Math.floor(image / columns)) / (rows - 1)}%`;
    };
    const now = () => {
      const sheet = state.part(panel, "sheet"), right = state.part(panel, "right");
      if (!sheet || !right) return null;
      const share = sheet.retrained.map((bits) => [...bits].filter((bit) => bit === "1").length);
      const kind = (image) => {
        const expected = share[image] >= sheet.models / 2;
        return right[image] === "1" ? (expected ? "known" : "still") : expected ? "lost" : "forgotten";
      };
      return { sheet, share, kind };
    };
    const focus = (image, move) => {
      chosen = image;
      tiles.forEach((tile, number) => {
        tile.tabIndex = number === image ? 0 : -1;
        tile.setAttribute("aria-pressed", String(number === image));
      });
      if (move) tiles[image].focus();
      const seen = now();
      if (!seen) return;
      const { sheet, share, kind } = seen;
      place(big, sheet, image);
      what.textContent = `${sheet.classes[sheet.labels[image]]}: ${WORDS[kind(image)]}. Memorization score ${sheet.scores[image].toFixed(2)}; the original is ${sheet.original[image] === "1" ? "right" : "wrong"}.`;
      dots.replaceChildren(make("span", "", [...sheet.retrained[image]].map((bit) => (bit === "1" ? "●" : "○")).join("")), ` ${share[image]} of ${sheet.models} retrained models are right.`);
      dots.firstChild.setAttribute("aria-hidden", "true");
    };
    tiles.forEach((tile, image) => {
      tile.addEventListener("click", () => focus(image, false));
      tile.addEventListener("keydown", (event) => {
        const across = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
        const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
        if (step === undefined) return;
        event.preventDefault();
        focus(Math.min(tiles.length - 1, Math.max(0, image + step)), true);
      });
    });
    return () => {
      const seen = now();
      box.hidden = !seen;
      if (!seen) return;
      const { sheet, share, kind } = seen, count = { known: 0, forgotten: 0, still: 0, lost: 0 };
      tiles.forEach((tile, image) => {
        const word = kind(image);
        count[word] += 1;
        place(tile, sheet, image);
        tile.className = `fu-tile fu-${word}`;
        tile.querySelector("b").textContent = MARKS[word];
        tile.querySelector("i").style.width = `${(100 * share[image]) / sheet.models}%`;
        tile.setAttribute("aria-label", `${sheet.classes[sheet.labels[image]]}: ${WORDS[word]}; ${share[image]} of ${sheet.models} retrained models are right`);
      });
      const own = count.forgotten + count.still, common = count.known + count.lost;
      say.textContent = `Of the ${own} images here that most retrained models get wrong, ${count.forgotten} are forgotten and ${count.still} still known; of the ${common} that at least half get right, ${count.known} are kept and ${count.lost} lost.`;
      focus(chosen, false);
    };
  },

  dots(box, panel, state) {
    const picture = make("div", "fu-curves"), said = make("p", "fu-note");
    said.setAttribute("aria-live", "polite");
    box.append(picture, said);
    const draw = () => {
      const [across, up] = ["x", "y"].map((name) => panel.fixed.axes.find((axis) => axis.label === state.values[name]));
      const chosen = ["a", "b"].map((name) => state.values[name]);
      const points = panel.fixed.points.filter((point) => Number.isFinite(point[across.key]) && Number.isFinite(point[up.key]));
      const wide = Math.max(240, picture.clientWidth || 420), high = 260, left = 52, below = 38;
      const scale = (axis, from, to) => {
        const values = points.map((point) => point[axis.key]), low = Math.min(...values), top = Math.max(...values), room = (top - low || 1) * 0.06;
        const to_ = (value) => from + ((to - from) * (value - low + room)) / (top - low + 2 * room);
        return { to: to_, ticks: [low, (low + top) / 2, top] };
      };
      const x = scale(across, left, wide - 10), y = scale(up, high - below, 8), number = (value) => (Math.abs(value) >= 100 || value === 0 ? value.toFixed(0) : Math.abs(value) >= 1 ? value.toFixed(1) : value.toFixed(3));
      const fact = (axis, point) => { const [what, unit = ""] = axis.label.split(", "); return `${what} ${number(point[axis.key])}${unit === "" ? "" : ` ${unit}`}`; };
      const ticks = x.ticks.map((v, place) => `<text x="${x.to(v)}" y="${high - below + 16}" text-anchor="${["start", "middle", "end"][place]}">${number(v)}</text>`)
        .concat(y.ticks.map((v) => `<line class="fu-grid" x1="${left}" x2="${wide - 8}" y1="${y.to(v)}" y2="${y.to(v)}"/><text x="${left - 6}" y="${y.to(v) + 4}" text-anchor="end">${number(v)}</text>`));
      const shape = (point) => {
        const [a, b] = [x.to(point[across.key]), y.to(point[up.key])], which = chosen.indexOf(point.name);
        if (which === 1) return `<rect class="fu-b" x="${a - 6}" y="${b - 6}" width="12" height="12"/>`;
        return `<circle class="${which === 0 ? "fu-a" : point.reference ? "fu-reference" : "fu-other"}" cx="${a}" cy="${b}" r="${which === 0 ? 7 : 5}"/>`;
      };
      const order = [...points].sort((p, q) => chosen.includes(p.name) - chosen.includes(q.name));
      picture.innerHTML = `<svg width="${wide}" height="${high}" role="img"><title></title>${ticks.join("")}<text x="${(left + wide) / 2}" y="${high - 3}" text-anchor="middle">${safe(across.label)}</text><text transform="rotate(-90)" x="${-(high - below) / 2}" y="12" text-anchor="middle">${safe(up.label)}</text>${order.map(shape).join("")}</svg>`;
      const shapes = [...picture.querySelectorAll("circle, rect")];
      order.forEach((point, place) => {
        const name = document.createElementNS("http://www.w3.org/2000/svg", "title");
        name.textContent = `${point.name}: ${fact(across, point)}, ${fact(up, point)}`;
        shapes[place].append(name);
        shapes[place].addEventListener("click", () => picture.dispatchEvent(new CustomEvent("fu-choose", { bubbles: true, detail: point.name })));
      });
      const told = chosen.map((name) => points.find((point) => point.name === name)).filter(Boolean).map((point) => `${point.name}: ${fact(across, point)}, ${fact(up, point)}`);
      picture.querySelector("title").textContent = `All methods by ${across.label} and ${up.label}. ${told.join("; ")}.`;
      const pair = (panel.fixed.closer[chosen[0]] || {})[chosen[1]];
      const which = { "<": `${chosen[0]} is surely closer to retraining than ${chosen[1]}.`, ">": `${chosen[1]} is surely closer to retraining than ${chosen[0]}.` }[pair] || `Which of ${chosen[0]} and ${chosen[1]} is closer to retraining cannot be told.`;
      said.textContent = chosen[0] === chosen[1] ? `${told[0]}.` : `${which} ${told.join("; ")}.`;
    };
    new ResizeObserver(() => requestAnimationFrame(draw)).observe(picture);
    return draw;
  },
};

// ---- knobs

function knobOf(knob, state, changed) {
  if (knob.kind === "slider") {
    const label = make("label", "fu-knob"), input = make("input"), output = make("output");
    Object.assign(input, { type: "range", min: 0, max: knob.values.length - 1, step: 1 });
    label.append(make("span", "", knob.name), input, output);
    const show = () => {
      input.value = knob.values.indexOf(state.values[knob.key]);
      output.textContent = state.values[knob.key];
      input.setAttribute("aria-valuetext", state.values[knob.key]);
    };
    input.addEventListener("input", () => { state.values[knob.key] = knob.values[input.value]; show(); changed(false); });
    input.addEventListener("change", () => changed(true));
    return { element: label, show };
  }
  if (knob.kind === "list") {
    const label = make("label", "fu-knob"), select = make("select");
    select.append(...knob.values.map((value) => new Option(value, value)));
    label.append(make("span", "", knob.name), select);
    select.addEventListener("change", () => { state.values[knob.key] = select.value; changed(true); });
    return { element: label, show: () => { select.value = state.values[knob.key]; } };
  }
  const set = make("fieldset", "fu-choice"), group = `fu-choice-${named++}`;
  set.append(make("legend", "", knob.name));
  const radios = knob.values.map((value) => {
    const label = make("label"), radio = make("input");
    Object.assign(radio, { type: "radio", name: group, value });
    radio.addEventListener("change", () => { state.values[knob.key] = value; changed(true); });
    label.append(radio, value);
    set.append(label);
    return radio;
  });
  return { element: set, show: () => radios.forEach((radio) => { radio.checked = radio.value === state.values[knob.key]; }) };
}

// ---- the whole

function render({ model, el }) {
  const data = model.get("data"), state = new State(data);
  const numbers = el.querySelector(".fu-numbers") || make("div", "fu-numbers");
  el.classList.add("fu-explorer");
  let draws = [], shows = [], guessing = false;
  const status = make("p", "fu-status"), bar = make("progress"), cancel = make("button", "fu-button", "Cancel");
  const body = make("div");
  status.setAttribute("role", "status");
  bar.setAttribute("aria-label", "progress of the computation");
  bar.hidden = cancel.hidden = true;
  cancel.type = "button";
  cancel.addEventListener("click", () => model.send({ cancel: true }));
  el.replaceChildren(...el.querySelectorAll("style, script"), make("p", "fu-title", data.title), body, status, bar, cancel, numbers);

  const button = (text, act) => {
    const made = make("button", "fu-button", text);
    made.type = "button";
    made.addEventListener("click", act);
    return made;
  };
  const link = () => `#${data.name}&view=${state.number}&${state.view.knobs.map((knob) => `${knob.key}=${encodeURIComponent(state.values[knob.key])}`).join("&")}`;

  function build() {
    draws = [];
    shows = [];
    const controls = make("div", "fu-controls"), extras = make("div", "fu-extras"), panels = make("div", "fu-panels");
    const choices = make("div", "fu-choices");
    if (data.views.length > 1) {
      const names = data.views.map((view) => view.name), knob = { kind: "choice", key: "view", name: data.choice, values: names };
      const proxy = { values: { view: names[state.number] } };
      const views = knobOf(knob, proxy, () => { state.choose(names.indexOf(proxy.values.view)); build(); });
      choices.append(views.element);
      shows.push(views.show);
    }
    for (const knob of state.view.knobs.filter((each) => each.values.length > 1)) {
      const made = knobOf(knob, state, changed);
      (knob.kind === "choice" ? choices : controls).append(made.element);
      shows.push(made.show);
    }
    for (const preset of state.view.presets) extras.append(button(preset.name, () => { Object.assign(state.values, preset.values); changed(true); }));
    if (state.view.guess) extras.append(guess());
    if (!el.classList.contains("fu-compact")) extras.append(button("Link to this setting", (event) => {
      history.replaceState(null, "", link());
      if (navigator.clipboard) navigator.clipboard.writeText(location.href).catch(() => {});
      event.target.textContent = "The address bar has it";
    }));
    for (const panel of state.view.panels) {
      const box = make("section", `fu-panel fu-panel-${panel.kind}`);
      box.setAttribute("aria-label", panel.title);
      if (panel.kind !== "say") box.append(make("h4", "fu-panel-title", panel.title));
      const draw = PANELS[panel.kind](box, panel, state);
      draws.push(draw);
      if (panel.key) {
        const key = make("p", "fu-key");
        for (const [style, words] of panel.key) key.append(make("b", `fu-swatch fu-${style}`), words);
        box.append(key);
      }
      panels.append(box);
    }
    panels.addEventListener("fu-choose", (event) => { state.values.a = event.detail; changed(true); });
    body.replaceChildren(controls, choices, extras, panels, make("p", "fu-key fu-foot", state.view.note));
    changed(true);
  }

  function guess() {
    const box = make("span", "fu-guess"), start = button("Guess first", () => { guessing = true; ask(); });
    const answers = ["Too little forgotten", "As retraining", "Too much forgotten"];
    const ask = () => {
      el.classList.toggle("fu-guessing", guessing);
      box.replaceChildren(...(guessing ? [make("span", "", "The blue marks are hidden. Your guess:"), ...answers.map((words) => button(words, () => reveal(words)))] : [start]));
    };
    const reveal = (words) => {
      const say = state.view.panels.find((panel) => panel.kind === "say"), answer = (state.part(say, "say") || [""])[0];
      el.classList.remove("fu-guessing");
      const right = answer === words ? "Right." : answer === "Undecided" ? "These cases cannot tell." : `It is: ${answer.toLowerCase()}.`;
      box.replaceChildren(make("b", "", right), button("Guess another", ask), button("Stop guessing", () => { guessing = false; ask(); }));
    };
    hide = () => { if (guessing) ask(); };
    ask();
    return box;
  }
  let hide = () => {};

  function changed(settled) {
    shows.forEach((show) => show());
    if (state.missing) {
      if (model.send && settled) model.send({ view: state.number, values: state.values });
      if (!model.send) status.textContent = "This setting was not computed.";
      if (state.view.live && !settled) status.textContent = "Let go of the slider to compute this setting.";
      return;
    }
    status.textContent = "";
    draws.forEach((draw) => draw());
    hide();
    tabulate();
  }

  function tabulate() {
    const table = make("table"), panel = state.view.panels.find((each) => each.kind === "rows");
    const setting = state.view.knobs.map((knob) => `${knob.name}: ${state.values[knob.key]}`).join("; ");
    table.append(make("caption", "", `${data.title}. ${setting}.`));
    if (panel) {
      const head = make("tr"), base = state.part(panel, "base");
      for (const words of ["", ...panel.fixed.own.map((own) => panel.fixed.names[own] || state.values[own]), "retrained", "before"]) head.append(make("th", "", words));
      table.append(head);
      panel.fixed.rows.forEach((label, place) => {
        if (!base[place]) return;
        const line = make("tr"), interval = ([value, low, high, sign]) => `${percent(value)} % [${percent(low)}, ${percent(high)}] ${sign}`;
        line.append(make("th", "", label));
        for (const own of panel.fixed.own) { const known = (state.part(panel, own) || [])[place]; line.append(make("td", "", known ? interval(known) : "–")); }
        line.append(make("td", "", `${percent(base[place][0])} %`), make("td", "", `${percent(base[place][3])} %`));
        table.append(line);
      });
    }
    const say = state.view.panels.find((each) => each.kind === "say"), told = say && state.part(say, "say");
    numbers.replaceChildren(table, make("p", "", told ? `${told[0]}. ${told[1]}` : ""));
  }

  const waiting = (busy) => { bar.hidden = cancel.hidden = !busy; };
  if (model.on) {
    model.on("msg:custom", (message) => {
      if (message.progress) {
        const [done, total, words] = message.progress;
        waiting(true);
        if (total) { bar.max = total; bar.value = done; } else bar.removeAttribute("value");
        status.textContent = words;
      }
      if (message.error !== undefined) { waiting(false); status.textContent = message.error; }
      if (message.frames) {
        waiting(false);
        for (const [panel, part, key, payload] of message.frames) data.views[message.view].panels[panel].parts[part].frames[key] = payload;
        if (message.view === state.number) changed(false);
      }
    });
  }

  function follow() {
    const [name, ...pairs] = decodeURI(location.hash.slice(1)).split("&");
    if (name !== data.name) return;
    const asked = Object.fromEntries(pairs.map((pair) => pair.split("=").map(decodeURIComponent)));
    state.choose(Math.min(data.views.length - 1, Number(asked.view) || 0));
    for (const knob of state.view.knobs) if (knob.values.includes(asked[knob.key])) state.values[knob.key] = asked[knob.key];
    build();
    el.scrollIntoView();
  }
  build();
  follow();
  window.addEventListener("hashchange", follow);
}

export default { render };
