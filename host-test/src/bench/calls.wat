;; Every call over the border of the VM that a warm request costs `portcullis`, in both directions, and no work.
(module
  (import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value" (func $set_header (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "source\00address")
  (data (i32.const 16) "x-criminalip")
  (data (i32.const 32) "verdict=allow, score=20, source=cache")

  (func (export "_initialize"))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  ;; Room for the address, which nobody reads.
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))

  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $get_property (i32.const 0) (i32.const 14) (i32.const 128) (i32.const 132)))
    (call $set_header (i32.const 0) (i32.const 16) (i32.const 12) (i32.const 32) (i32.const 37)))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1)))
