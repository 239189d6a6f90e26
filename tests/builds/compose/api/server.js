const http = require("node:http");
const ships = require("./ships");

http
  .createServer((request, response) => {
    response.setHeader("content-type", "text/plain");
    response.end(ships.list().join("\n") + "\n");
  })
  .listen(3000);
