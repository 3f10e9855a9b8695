// A relay with Node's `ws`: parse, number, send to every viewer. `ws` leaves compression off by default.
'use strict';

const { WebSocketServer } = require('ws');

const viewers = new Set();
let seq = 0;

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 1024 });

server.on('connection', (socket, request) => {
  socket.on('error', () => {});
  if (request.url.startsWith('/ws')) {
    viewers.add(socket);
    socket.on('close', () => viewers.delete(socket));
    return;
  }
  socket.on('message', (data) => {
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      return;
    }
    if (typeof event.type !== 'string' || typeof event.session_id !== 'string') return;
    seq += 1;
    event.seq = seq;
    const body = Buffer.from(JSON.stringify(event));
    for (const viewer of viewers) viewer.send(body, { binary: false });
  });
});
