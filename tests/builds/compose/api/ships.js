const ms = require("ms");

// Arrivals in milliseconds before now.
const ships = [
  { name: "Alma", arrived: ms("2h") },
  { name: "Berta", arrived: ms("3d") },
];

exports.list = () => ships.map(({ name, arrived }) => `${name}, for ${ms(arrived, { long: true })}`);
