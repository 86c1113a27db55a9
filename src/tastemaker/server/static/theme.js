// Light, dark, or as the system says; the choice is kept where the browser allows it.

const ORDER = ["system", "light", "dark"];
const NAMES = { system: "as the system", light: "light", dark: "dark" };

const read = () => {
  try {
    return localStorage.getItem("theme") || "system";
  } catch {
    return "system";
  }
};

const keep = (theme) => {
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // Private windows may refuse storage; the choice then lasts as long as the page.
  }
};

export function setUpTheme(button) {
  let theme = ORDER.includes(read()) ? read() : "system";
  const apply = () => {
    document.documentElement.dataset.theme = theme;
    button.setAttribute("aria-label", `Colours: ${NAMES[theme]}`);
    button.title = `Colours: ${NAMES[theme]}`;
  };
  button.addEventListener("click", () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
    keep(theme);
    apply();
  });
  apply();
}
