// A WeCom bot in callback mode made of Tencent's own WecomCrypto. It answers what the test tells it to.
const http = require("node:http");
const { WecomCrypto } = require("@wecom/aibot-node-sdk");
const { emit, serve } = require("./json_lines.cjs");

const crypto = new WecomCrypto(process.env.FENNEL_WECOM__TOKEN, process.env.FENNEL_WECOM__AES_KEY);
let answers = {}; // by msgtype or event type: the passive answer, or {status}, or {hang: true}
let echo = (text) => text;

const seal = (answer, nonce) => {
  const timestamp = Math.floor(Date.now() / 1000);
  const sealed = crypto.encrypt(JSON.stringify(answer), String(timestamp), nonce);
  return JSON.stringify({ encrypt: sealed.encrypt, msgsignature: sealed.signature, timestamp, nonce });
};

const open = (query, encrypted) => {
  const signed = [query.get("msg_signature"), query.get("timestamp"), query.get("nonce"), encrypted];
  if (!crypto.verifySignature(...signed)) throw new Error("signature");
  return crypto.decrypt(encrypted);
};

const respond = (response, query, body) => {
  const message = JSON.parse(open(query, JSON.parse(body).encrypt));
  emit("callback", { message });
  const answer = answers[message.event?.eventtype ?? message.msgtype];
  if (answer?.hang) return;
  if (answer?.status) return response.writeHead(answer.status).end();
  const nonce = answer?.wrongNonce ?? query.get("nonce");
  response.end(answer ? seal(answer, nonce) : "");
};

const server = http.createServer((request, response) => {
  const query = new URL(request.url, "http://bot").searchParams;
  let body = "";
  request.on("data", (chunk) => (body += chunk));
  request.on("end", () => {
    try {
      if (request.method === "GET") response.end(echo(open(query, query.get("echostr"))));
      else respond(response, query, body);
    } catch (error) {
      emit("refused", { reason: error.message });
      response.writeHead(403).end();
    }
  });
});

server.listen(0, "127.0.0.1", () => emit("listening", { url: `http://127.0.0.1:${server.address().port}/wecom` }));
serve({
  answer: (kind, answer) => void (answers[kind] = answer),
  quoteEcho: () => void (echo = (text) => `"${text}"`),
});
