// A Lark bot made of Lark's own client for Node.js: long connection, REST calls and webhook.
const http = require("node:http");
const lark = require("@larksuiteoapi/node-sdk");
const { emit, serve } = require("./json_lines.cjs");

const env = (name) => process.env[`FENNEL_LARK__${name}`];
const silent = { error() {}, warn() {}, info() {}, debug() {}, trace() {} };
const config = { appId: env("APP_ID"), appSecret: env("APP_SECRET"), domain: env("DOMAIN"), logger: silent };
const client = new lark.Client(config);

const handlers = () => ({
  "im.message.receive_v1": async (data) => {
    emit("message", { event_id: data.event_id, message: data.message });
    const text = `echo ${JSON.parse(data.message.content).text}`;
    await client.im.message.reply({
      path: { message_id: data.message.message_id },
      data: { msg_type: "text", content: JSON.stringify({ text }), uuid: data.message.message_id.slice(0, 50) },
    });
  },
  "im.message.recalled_v1": async (data) => emit("recalled", { message_id: data.message_id }),
  "card.action.trigger": async (data) => ({ toast: { type: "info", content: data.action.value.feedback } }),
});

serve({
  connect: () => {
    const options = { onReady: () => emit("ready"), onReconnected: () => emit("reconnected") };
    const link = new lark.WSClient({ ...config, ...options });
    return link.start({ eventDispatcher: new lark.EventDispatcher({ logger: silent }).register(handlers()) });
  },
  serveWebhook: () => {
    const keys = { encryptKey: env("ENCRYPT_KEY"), verificationToken: env("VERIFICATION_TOKEN"), logger: silent };
    const dispatcher = new lark.EventDispatcher(keys).register(handlers());
    const server = http.createServer(lark.adaptDefault("/", dispatcher, { autoChallenge: true }));
    return new Promise((done) => server.listen(0, "127.0.0.1", () => done(`http://127.0.0.1:${server.address().port}/`)));
  },
  streamCard: async (messageId, texts) => {
    const element = { tag: "markdown", element_id: "md_1", content: "…" };
    const card = { schema: "2.0", config: { streaming_mode: true }, body: { elements: [element] } };
    const created = await client.cardkit.v1.card.create({ data: { type: "card_json", data: JSON.stringify(card) } });
    const card_id = created.data.card_id;
    const content = JSON.stringify({ type: "card", data: { card_id } });
    await client.im.message.reply({ path: { message_id: messageId }, data: { msg_type: "interactive", content } });
    let sequence = 0;
    for (const text of texts) {
      sequence += 1;
      const path = { card_id, element_id: "md_1" };
      await client.cardkit.v1.cardElement.content({ path, data: { content: text, sequence } });
    }
    const settings = JSON.stringify({ config: { streaming_mode: false } });
    await client.cardkit.v1.card.settings({ path: { card_id }, data: { settings, sequence: sequence + 1 } });
  },
});
