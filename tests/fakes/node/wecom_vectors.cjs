// Prints test vectors of Tencent's own WecomCrypto. Its randomness is replaced, so that the output is always the same:
//   node wecom_vectors.cjs > ../../data/wecom_crypto_vectors.json
const crypto = require("node:crypto");
const random16 = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");
crypto.randomBytes = (size) => random16.subarray(0, size);
const { WecomCrypto } = require("@wecom/aibot-node-sdk");

const token = "vector-token";
const aesKey = Buffer.from(Array.from({ length: 32 }, (_, at) => (at * 7 + 3) % 256)).toString("base64").replace("=", "");
const messages = {
  "empty": "",
  "verification echo": "1616140317555161061",
  "one byte short of a block": "x".repeat(11),
  "a full block, so a whole block of padding": "x".repeat(12),
  "Chinese and an emoji": "@茴香 问题：怎么部署？🌿",
  "a callback": '{"msgid":"M","aibotid":"B","chattype":"group","from":{"userid":"U"},"msgtype":"text","text":{"content":"hi"}}',
  "a long answer, in JSON": JSON.stringify({ content: "香".repeat(500) }),
};
const vectors = [];
for (const receiveId of ["", "ww0123456789abcdef"]) {
  for (const [name, message] of Object.entries(messages)) {
    const [timestamp, nonce] = ["1795350823", "8f3a61c09d2e4b57"];
    const { encrypt, signature } = new WecomCrypto(token, aesKey, receiveId).encrypt(message, timestamp, nonce);
    vectors.push({ name, message, receive_id: receiveId, timestamp, nonce, encrypt, msg_signature: signature });
  }
}
const about = "WecomCrypto of @wecom/aibot-node-sdk 1.0.7, with its 16 random bytes fixed";
const vectorFile = { about, token, aes_key: aesKey, random16_hex: random16.toString("hex"), vectors };
process.stdout.write(JSON.stringify(vectorFile, null, 1) + "\n");
