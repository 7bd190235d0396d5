{
  "targets": [
    {
      "target_name": "lamina",
      "conditions": [
        [
          "OS=='linux'",
          {
            "sources": [
              "native/addon.cc",
              "native/constants.cc",
              "native/copy.cc",
              "native/data.cc",
              "native/file.cc",
              "native/fuse.cc",
              "native/identity.cc",
              "native/mount.cc",
              "native/pool.cc",
              "native/ring.cc",
              "native/socket.cc",
              "native/watch.cc",
              "native/xattr.cc"
            ]
          },
          { "type": "none" }
        ]
      ],
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NAPI_DISABLE_CPP_EXCEPTIONS", "_GNU_SOURCE"],
      "cflags": ["-Wall", "-Wextra", "-Werror", "-O2", "-fvisibility=hidden"],
      # A worker's end unloads addons, and the pool's threads run on in this one.
      "ldflags": ["-Wl,-z,nodelete"],
      "cflags_cc": ["-std=c++17"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"]
    },
    {
      "target_name": "lamina-mount",
      "conditions": [["OS=='linux'", { "type": "executable", "sources": ["native/mount-client.cc"] }, { "type": "none" }]],
      "defines": ["LAMINA_NODE=\"<!(node -p process.execPath)\"", "_GNU_SOURCE"],
      "cflags": ["-Wall", "-Wextra", "-Werror", "-O2"],
      # It is started for every mount: what it does not use is not loaded.
      "ldflags": ["-Wl,--as-needed"],
      "cflags_cc": ["-std=c++17"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"]
    }
  ]
}
