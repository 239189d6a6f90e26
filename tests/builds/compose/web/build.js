// Render every page under pages/ into out/, as a static site.
const fs = require("node:fs");
const path = require("node:path");
const { marked } = require("marked");
const mustache = require("mustache");

const layout = fs.readFileSync("layout.html", "utf8");
fs.mkdirSync("out", { recursive: true });

for (const page of fs.readdirSync("pages")) {
  const name = path.basename(page, ".md");
  const body = marked.parse(fs.readFileSync(path.join("pages", page), "utf8"));
  fs.writeFileSync(path.join("out", `${name}.html`), mustache.render(layout, { name, body }));
  console.log(`${page} -> out/${name}.html`);
}
