// The iLink client out of Tencent's own plug-in for personal WeChat. Its login always asks one fixed host; here those
// calls go to the fake.
import { createRequire } from "node:module";

import * as api from "@tencent-weixin/openclaw-weixin/dist/src/api/api.js";
import * as login from "@tencent-weixin/openclaw-weixin/dist/src/auth/login-qr.js";

const { serve, emit } = createRequire(import.meta.url)("./json_lines.cjs");
const baseUrl = process.env.FENNEL_WEIXIN__BASE_URL;
const realFetch = globalThis.fetch;
globalThis.fetch = (url, options) => realFetch(String(url).replace("https://ilinkai.weixin.qq.com", baseUrl), options);
process.stdout.write = ((write) => (text, ...rest) => text.startsWith("{") ? write(text, ...rest) : true)(
  process.stdout.write.bind(process.stdout),
); // the login talks to a person on stdout, where the test expects JSON

serve({
  startLogin: () => login.startWeixinLoginWithQr({ apiBaseUrl: baseUrl, accountId: "test" }),
  waitForLogin: (timeoutMs) => login.waitForWeixinLogin({ sessionKey: "test", apiBaseUrl: baseUrl, timeoutMs }),
  getUpdates: (token, cursor, timeoutMs) => api.getUpdates({ baseUrl, token, get_updates_buf: cursor, timeoutMs }),
  sendMessage: (token, msg, timeoutMs) => api.sendMessage({ baseUrl, token, timeoutMs, body: { msg } }),
  getConfig: (token, ilinkUserId) => api.getConfig({ baseUrl, token, ilinkUserId }),
  sendTyping: (token, body) => api.sendTyping({ baseUrl, token, body }),
  notifyStart: (token) => api.notifyStart({ baseUrl, token }),
});
emit("ready");
