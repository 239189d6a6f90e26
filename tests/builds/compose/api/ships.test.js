const assert = require("node:assert");
const test = require("node:test");
const ships = require("./ships");

test("a stay is told in words", () => {
  assert.equal(ships.list()[0], "Alma, for 2 hours");
});
