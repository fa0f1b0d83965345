// The reader's choice of language and colours, kept in the link as on the page of `depthwise explain`: "#?language=zh" and so on.
// Without scripts the page shows the language that it was made in, and follows the system's colours.
"use strict";
const THEMES = ["auto", "light", "dark"];
const SIGNS = { auto: "◐", light: "☀", dark: "☾" };
const mains = [...document.querySelectorAll("main")];
const languages = mains.map((main) => main.dataset.language);
const made = mains.find((main) => !main.hidden).dataset.language;
const links = [...document.querySelectorAll("main a")].map((link) => [link, ...link.getAttribute("href").split("?")]);
let language = made;
let theme = "auto";

function read() {
  const options = new URLSearchParams(location.hash.split("?")[1]);
  language = languages.find((code) => code === options.get("language")) ?? made;
  theme = THEMES.find((name) => name === options.get("theme")) ?? "auto";
  show();
}

function show() {
  for (const main of mains) {
    main.hidden = main.dataset.language !== language;
    if (main.hidden) continue;
    document.documentElement.lang = main.lang;
    document.title = main.dataset.title;
  }
  document.documentElement.dataset.theme = theme;
  for (const button of document.querySelectorAll("[data-choose]")) {
    button.setAttribute("aria-pressed", button.dataset.choose === language);
  }
  for (const button of document.querySelectorAll(".theme")) {
    button.textContent = SIGNS[theme];
    button.title = button.dataset[theme];
    button.setAttribute("aria-label", button.title);
  }
  for (const [link, place, query] of links) {
    const options = new URLSearchParams(query);
    if (theme !== "auto") options.set("theme", theme);
    link.href = `${place}?${options}`;
  }
}

function choose(nextLanguage, nextTheme) {
  [language, theme] = [nextLanguage, nextTheme];
  const options = new URLSearchParams();
  if (language !== made) options.set("language", language);
  if (theme !== "auto") options.set("theme", theme);
  try {
    history.replaceState(null, "", `#?${options}`);
  } catch {
    // a page in a sandboxed frame cannot change its address
  }
  show();
}

const after = (list, current) => list[(list.indexOf(current) + 1) % list.length];

for (const nav of document.querySelectorAll(".tools")) nav.hidden = false;
document.addEventListener("click", (event) => {
  const { choose: wanted } = event.target.dataset;
  if (event.target.matches(".theme")) choose(language, after(THEMES, theme));
  if (!wanted) return;
  choose(wanted, theme);
  document.querySelector("main:not([hidden]) [aria-pressed=true]").focus(); // the button itself is hidden now
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return; // they are the browser's
  if (event.key === "l") choose(after(languages, language), theme);
  if (event.key === "t") choose(language, after(THEMES, theme));
});
addEventListener("hashchange", read);
read();
